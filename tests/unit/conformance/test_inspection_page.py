"""The page about a program: areas that are sizes, and names that stay names."""

import html
import re

import pytest

from conformance.reports.inspection import page, words
from conformance.reports.inspection.treemap import Box, squarify
from exporters.inspection import facts

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e{{7*7}}"


def inspection(**changes):
    """A program with an unfriendly name for everything that has one."""
    method = facts.Method(
        name=HOSTILE,
        inputs=[facts.Value(kind="tensor", dtype=HOSTILE, shape=[1, 8], dynamism="bounded", planned=True)],
        outputs=[facts.Value(kind="string", value=HOSTILE)],
        instructions={"kernel": 3, "delegate": 1},
        operators=[facts.Operator(name=f"{HOSTILE}::add", library=None, calls=3)],
        delegates=[
            facts.Delegate(
                backend=HOSTILE, calls=1, bytes=9, compile_specs=[HOSTILE], nodes={HOSTILE: 2}, weights_bytes=4, unread=None
            )
        ],
        delegation=facts.Delegation(delegated=2, undelegated=3, share=0.4),
        memory=[facts.Memory(id=1, bytes=2048, device=HOSTILE)],
    )
    parts = [
        facts.Part(kind="program", name="flatbuffer", offset=0, bytes=600),
        facts.Part(kind="named data", name=HOSTILE, content=HOSTILE, offset=600, bytes=300),
        facts.Part(kind="padding", name="", offset=900, bytes=100),
    ]
    return facts.Inspection(
        file=facts.File(name=HOSTILE, bytes=1000, sha256="0" * 64, identifier="ET12"),
        account=facts.Account(matches=False, message=HOSTILE),
        methods=[method],
        constant_methods={HOSTILE: [HOSTILE]},
        weights=[facts.Weights(place="XNNPACK", dtype=HOSTILE, role="scales", tensors=1, bytes=4)],
        parts=parts,
    ).model_copy(update=changes)


def test_names_of_the_file_are_data_on_the_page():
    text = page.render(inspection())
    assert "<img" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", text)
    assert "49" not in re.findall(r">[^<]*7\*7[^<]*<", text)[0]
    assert text.count("&lt;img src=x onerror=alert(1)&gt;\\x1b[31m\\u202e{{7*7}}") > 10


def test_the_page_has_no_script_and_fetches_nothing():
    text = page.render(inspection())
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    assert "default-src 'none'" in html.unescape(text)


def test_names_of_the_file_are_data_on_a_terminal():
    from rich.console import Console

    from conformance.cli.inspecting import _report

    console = Console(width=400, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(_report(inspection()))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", captured.get())
    assert "\\x1b[31m" in captured.get()


@pytest.mark.parametrize("sizes", [[1.0], [5.0, 3.0, 1.0, 1.0], [100.0] + [1.0] * 50, [7.0] * 9])
def test_areas_are_sizes_and_fill_the_box(sizes):
    box = Box(0, 0, 300, 200)
    found = squarify(sizes, box)
    assert [place.width * place.height for place in found] == pytest.approx([size * 60000 / sum(sizes) for size in sizes])
    for place in found:
        assert -1e-6 <= place.x <= place.x + place.width <= 300 + 1e-6
        assert -1e-6 <= place.y <= place.y + place.height <= 200 + 1e-6
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert across <= 1e-6 or down <= 1e-6


def test_small_parts_are_one_tile_and_no_byte_is_lost():
    parts = [facts.Part(kind="constants", name=str(n), offset=n, bytes=5 if n else 100000) for n in range(300)]
    tiles = page.treemap(parts, 1000, 420)
    assert [tile.label for tile in tiles] == ["0", "299 more"]
    assert sum(tile.width * tile.height for tile in tiles) == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"delegates": []}, "no delegates"),
        ({}, "40% (2 in delegates, 3 outside)"),
        (
            {
                "delegation": None,
                "delegates": [
                    facts.Delegate(backend="QnnBackend", calls=1, bytes=1, compile_specs=[], unread="graphs are not read")
                ],
            },
            "unknown: QnnBackend: graphs are not read",
        ),
    ],
)
def test_a_share_is_said_or_why_it_is_not_known(changes, told):
    assert words.delegated(inspection().methods[0].model_copy(update=changes)) == told


def test_sizes_have_units():
    assert [words.size(n) for n in (0, 1023, 1024, 3 * 2**20, 5 * 2**30)] == ["0 B", "1023 B", "1.0 KiB", "3.0 MiB", "5.0 GiB"]
