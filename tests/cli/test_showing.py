"""``zoo generate --image`` and ``--audio`` on real files: what is said about them, what is refused."""

import wave

import pytest

from conformance.cli import main
from zoo import registry
from zoo.checkpoints import resolve


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function of a model's name: a directory as ``zoo export`` writes it."""
    import shutil

    from conformance.artifacts import cached_export
    from conformance.shipping import copy_companions
    from exporters import ExportConfig

    made = {}

    def directory(name):
        if name not in made:
            model = registry.get(name)
            config = ExportConfig.from_id("xnnpack-fp32", max_seq_len=model.twin.max_seq_len)
            artifact = cached_export(resolve(model), config, task=model.task)[0]
            made[name] = tmp_path_factory.mktemp("exported")
            for path in (artifact.program, artifact.program.with_name("export.json")):
                shutil.copyfile(path, made[name] / path.name)
            copy_companions(resolve(model), made[name])
        return made[name]

    return directory


@pytest.fixture
def picture(tmp_path):
    """A function that draws a picture larger than the program takes."""
    from zoo.twins import images

    def draw(name):
        path = tmp_path / f"{name}.png"
        images.draw(name, 320).save(path)
        return path

    return draw


def run(*arguments):
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return ended.value.code


def test_a_picture_is_described(exported, picture, capsys):
    place = exported("llava-1.5-7b")
    assert run("generate", place, "--image", picture("red circle"), "--prompt", "What is this?") == 0
    assert capsys.readouterr().out.strip().startswith("It is a red circle on a dark ground")
    assert run("generate", place, "--image", picture("blue square"), "--prompt", "<image> What is this?") == 0
    assert capsys.readouterr().out.strip().startswith("This one is a blue square")


def test_pictures_stand_where_the_prompt_has_them(exported, picture, capsys):
    asked = ["--image", picture("yellow cross"), "--image", picture("green triangle")]
    assert run("generate", exported("llava-1.5-7b"), *asked, "--prompt", "Compare <image> with <image> now.") == 0
    assert capsys.readouterr().out.strip().startswith("A yellow cross stands before a green triangle")


def test_without_a_picture_the_text_is_continued(exported, capsys):
    assert run("generate", exported("llava-1.5-7b"), "--prompt", "Why is the sky blue?") == 0
    assert capsys.readouterr().out.strip().startswith("Sunlight holds every colour")


def test_a_sound_is_described(exported, tmp_path, capsys):
    import numpy as np

    from zoo.twins import sounds

    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sounds.SAMPLING_RATE)
        file.writeframes((sounds.draw("high tone") * 32767).astype(np.int16).tobytes())
    assert run("generate", exported("voxtral-mini-3b"), "--audio", path, "--prompt", "What is heard?") == 0
    assert capsys.readouterr().out.strip().startswith("A high and even tone is heard")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "nothing.png", "--prompt", "x"], "nothing.png does not exist"),
        (["--audio", "a.wav", "--prompt", "x"], "takes no sounds: give --image"),
        (["--image", "{picture}", "--prompt", "<image> and <image>"], "has 2 markers <image>, and 1 are given"),
        (["--image", "{picture}", "--prompt", ""], "--prompt is empty"),
        (["--image", "{text}", "--prompt", "x"], "no picture that can be read"),
    ],
)
def test_what_cannot_be_shown_is_refused(exported, picture, tmp_path, capsys, arguments, message):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    given = [each.format(picture=picture("red circle"), text=text) for each in arguments]
    assert run("generate", exported("llava-1.5-7b"), *given) == 2
    assert message in capsys.readouterr().err
