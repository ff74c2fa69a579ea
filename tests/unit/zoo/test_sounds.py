import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.twins import letters, sounds
from zoo.twins.speech import collapse, spread


def test_sounds_are_short_and_loud_and_of_other_lengths():
    drawn = {name: sounds.draw(name) for name in sounds.WORDS}
    assert len({len(samples) for samples in drawn.values()}) == len(drawn)
    for samples in drawn.values():
        assert samples.dtype == np.float32
        assert 0.3 < np.abs(samples).max() <= 0.5
        assert sounds.SAMPLING_RATE // 2 <= len(samples) <= sounds.MAX_SECONDS * sounds.SAMPLING_RATE


def test_a_sound_is_the_same_each_time():
    np.testing.assert_array_equal(sounds.draw("noise burst"), sounds.draw("noise burst"))


def test_an_unknown_sound_is_refused_with_a_suggestion():
    with pytest.raises(ZooError, match=r"unknown sound 'low tome'.*'low tone'"):
        sounds.draw("low tome")


@pytest.mark.parametrize(
    ("classes", "said"),
    [([], []), ([0, 0], []), ([5, 5, 0, 5, 6], [5, 5, 6]), ([0, 7, 7, 0, 0, 8], [7, 8]), ([3, 3, 3], [3])],
)
def test_repetitions_count_once_and_blanks_not_at_all(classes, said):
    assert collapse(classes, 0) == said


@pytest.mark.parametrize("frames", [8, 9, 20, 49])
def test_labels_that_are_spread_over_frames_collapse_to_themselves(frames):
    assert collapse(spread([4, 4, 9, 4], frames, 0, name="x"), 0) == [4, 4, 9, 4]
    assert len(spread([4, 4, 9, 4], frames, 0, name="x")) == frames


def test_too_few_frames_are_refused():
    with pytest.raises(ZooError, match="4 frames, too few for a transcript of 4 letters"):
        spread([4, 4, 9, 4], 4, 0, name="x")


def test_letters_are_written_and_read():
    coder = letters.coder()
    ids = coder("TWO BEEPS")["input_ids"]
    assert len(ids) == 9
    assert "<unk>" not in coder.convert_ids_to_tokens(ids)
    assert coder.decode([ids[0], ids[0], 0, *ids[1:5], 0, *ids[5:]]) == "TWO BEPS"
    assert len(coder) == 32
