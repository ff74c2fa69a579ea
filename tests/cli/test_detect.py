"""``zoo detect`` on a real file: what it prints, what it draws, what it refuses."""

import pytest

from conformance.cli import main
from exporters import ExportConfig
from exporters.pipeline import export
from zoo.checkpoints import resolve
from zoo.models.yolos import YOLOS_TINY
from zoo.twins import scenes

SCENE = next(scene for scene in scenes.references(YOLOS_TINY) if len(scene) == 2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    from conformance.shipping import copy_companions

    checkpoint, place = resolve(YOLOS_TINY), tmp_path_factory.mktemp("exported")
    export(checkpoint, ExportConfig(recipe="portable"), place, task="object-detection")
    copy_companions(checkpoint, place)
    return place


@pytest.fixture
def photo(tmp_path):
    """A scene as a picture of other proportions than the program takes."""
    path = tmp_path / "photo.png"
    scenes.draw(SCENE, 64).resize((320, 200)).save(path)
    return path


def test_objects_are_printed_in_pixels_and_drawn(exported, photo, capsys):
    from PIL import Image

    saved = photo.with_name("out.png")
    assert _run(exported, photo, "--save", saved) == 0
    said = capsys.readouterr().out
    for thing in SCENE:
        (line,) = (line for line in said.splitlines() if thing.label in line)
        left, top, right, bottom = (float(value) for value in line[line.index("(") + 1 : -1].split(", "))
        x, y, width, height = thing.box
        assert (left + right) / 2 == pytest.approx(320 * x, abs=32)
        assert (top + bottom) / 2 == pytest.approx(200 * y, abs=20)
        assert right - left == pytest.approx(320 * width, rel=0.3)
        assert bottom - top == pytest.approx(200 * height, rel=0.3)
    with Image.open(saved) as drawn, Image.open(photo) as before:
        assert drawn.size == before.size
        assert (255, 0, 255) in {colour for _, colour in drawn.getcolors(1 << 16)}
        assert (255, 0, 255) not in {colour for _, colour in before.getcolors(1 << 16)}


def _run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["detect", *map(str, arguments)])
    return ended.value.code


def test_a_higher_threshold_leaves_fewer_objects(exported, photo, capsys):
    assert _run(exported, photo, "--threshold", "1") == 0
    found = capsys.readouterr()
    assert found.out == ""
    assert "no object has a score above 1" in found.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": "absent.png"}, "absent.png does not exist"),
        ({"image": "text.png"}, "is no picture that can be read"),
        ({"save": "out.xyz"}, "give a file with a picture's suffix"),
        ({"save": "nowhere/out.png"}, "in a directory that exists"),
        ({"artifact": "nothing"}, "'zoo export' makes a .pte"),
    ],
)
def test_what_it_cannot_use_is_named(exported, photo, capsys, change, told):
    place = photo.parent
    (place / "text.png").write_text("no picture")
    artifact = place / change["artifact"] if "artifact" in change else exported
    image = place / change["image"] if "image" in change else photo
    options = ("--save", place / change["save"]) if "save" in change else ()
    assert _run(artifact, image, *options) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_classify_says_who_runs_a_detector(exported, photo, capsys):
    with pytest.raises(SystemExit):
        main(["classify", str(exported), str(photo)])
    assert "'zoo detect' runs it" in " ".join(capsys.readouterr().err.split())
