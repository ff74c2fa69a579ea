import wave

import numpy as np
import pytest

from conformance.errors import ConformanceError
from conformance.listening import read_wav, resampled


def write(path, octets, *, rate=16000, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(octets)
    return path


@pytest.mark.parametrize(
    ("width", "octets"),
    [
        (1, bytes([128, 192, 64, 255])),
        (2, np.array([0, 2**14, -(2**14), 2**15 - 1], "<i2").tobytes()),
        (3, bytes([0, 0, 0, 0, 0, 0x40, 0, 0, 0xC0, 0xFF, 0xFF, 0x7F])),
        (4, np.array([0, 2**30, -(2**30), 2**31 - 1], "<i4").tobytes()),
    ],
)
def test_samples_of_every_width_are_read(tmp_path, width, octets):
    sound = read_wav(write(tmp_path / "a.wav", octets, width=width))
    np.testing.assert_allclose(sound.samples, [0, 0.5, -0.5, 1], atol=0.01)
    assert (sound.rate, sound.channels) == (16000, 1)


def test_channels_are_mixed(tmp_path):
    both = np.array([[2**14, 0], [0, -(2**14)]], "<i2").tobytes()
    sound = read_wav(write(tmp_path / "a.wav", both, channels=2, rate=8000))
    np.testing.assert_allclose(sound.samples, [0.25, -0.25])
    assert sound.channels == 2
    assert sound.seconds == 2 / 8000


def test_a_file_that_is_missing_or_empty_or_no_sound_is_refused(tmp_path):
    with pytest.raises(ConformanceError, match=r"does not exist; give a WAV file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(ConformanceError, match="holds no sound"):
        read_wav(write(tmp_path / "empty.wav", b""))
    noise = tmp_path / "noise.wav"
    for octets in (b"", b"nonsense", b"RIFF\x04\x00\x00\x00WAVE"):
        noise.write_bytes(octets)
        with pytest.raises(ConformanceError, match="no WAV file of PCM samples"):
            read_wav(noise)


def tone(hertz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_stays_a_tone_at_another_rate(rate):
    np.testing.assert_allclose(resampled(tone(440, rate), rate, 16000), tone(440, 16000), atol=1e-4)


def test_a_tone_that_the_new_rate_cannot_hold_is_left_out_and_not_folded():
    assert np.abs(resampled(tone(10000, 44100), 44100, 16000)).max() < 1e-3


def test_a_sound_of_the_right_rate_is_left_as_it_is():
    sound = tone(440, 16000)
    assert resampled(sound, 16000, 16000) is sound
