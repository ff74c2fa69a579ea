"""What changed between records is said with its kind, whatever changed, and nothing is said of what did not."""

import html.parser
import io
import math

import pytest
from rich.console import Console

from conformance import baselines, changes
from conformance.changes import KINDS, RANKS, WORSE, Change
from conformance.record import STAGES, Check, GenerationRecord, StageRecord, Status
from conformance.reports import changes as reports

DELEGATION = {
    "delegates": 3,
    "delegated": {"aten_addmm_default": 7},
    "undelegated": {"aten_embedding_default": 1, "getitem": 9},
}
HOST = {"processor": "Zilog Z80", "machine": "z80", "threads": 1}


def stages(last):
    return [StageRecord(name=name, seconds=1.0) for name in STAGES[: STAGES.index(last) + 1]]


def samples(program, eager=1e-3, blocks=8):
    """Times of a decoder, a little different from block to block."""
    wobble = [1 + 0.01 * math.sin(block) for block in range(blocks)]
    return {"decode": {"eager": [eager * each for each in wobble], "executorch": [program * each for each in reversed(wobble)]}}


def said(*tokens, reference=(1, 2, 3)):
    return GenerationRecord(
        prompt="p", prompt_tokens=1, reference=list(reference), tokens=list(tokens), text="t", stop="eos", smallest_margin=1.0
    )


@pytest.fixture
def whole(make_record):
    """A record with all its figures; ``fields`` replace its own."""

    def make(**fields):
        return make_record(
            **{
                "stages": stages("measure"),
                "checks": {"logits": Check(status="pass", message="")},
                "methods": ["forward"],
                "file_bytes": 1_000_000,
                "file_sha256": "a",
                "delegation": DELEGATION,
                "quantization": {"linear_share": 0.5},
                "generations": [said(1, 2, 3)],
                "latency": {"samples": samples(1e-4)},
                "versions": {"torch": "2.13.0", "executorch": "1.4.1"},
                "host": HOST,
                **fields,
            }
        )

    return make


@pytest.fixture
def changed(whole):
    """The changes when a whole record gets other fields, as (kind, figure)."""

    def of(before=None, **after):
        found = changes.compare([whole(**(before or {}))], [whole(**after)])
        assert all(change.cell == "smollm2-135m@portable-fp32" and change.what for change in found)
        return [(change.kind, change.figure) for change in found]

    return of


def test_nothing_is_said_of_the_same_records(whole):
    assert changes.compare([whole(), whole(configuration="xnnpack-fp32")], [whole(configuration="xnnpack-fp32"), whole()]) == []


def test_cells_that_came_and_went_are_named(whole):
    found = changes.compare(
        [whole(configuration="xnnpack-fp32")], [whole(configuration="xnnpack-fp16", status="fail", reason="why")]
    )
    assert [(change.kind, change.cell, change.what) for change in found] == [
        ("gone", "smollm2-135m@xnnpack-fp32", "was pass"),
        ("new", "smollm2-135m@xnnpack-fp16", "fail: why"),
    ]


def test_every_status_has_a_rank():
    assert set(RANKS) == set(Status.__args__)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("pass", "fail", "broken"),
        ("pass", "inconclusive", "broken"),
        ("pass", "not_applicable", "broken"),
        ("pass", "known_failure", "broken"),
        ("not_applicable", "fail", "broken"),
        ("known_failure", "not_applicable", "broken"),
        ("fail", "crash", "broken"),
        ("known_failure", "fixed", "fixed"),
        ("fail", "pass", "fixed"),
        ("not_applicable", "pass", "fixed"),
        ("not_applicable", "known_failure", "changed"),
        ("fail", "timeout", "changed"),
        ("fail", "known_failure", "changed"),
    ],
)
def test_verdicts_have_an_order(changed, before, after, kind):
    assert changed({"status": before}, status=after) == [(kind, "status")]


def test_the_reason_is_told_with_the_verdict(whole):
    (change,) = changes.compare([whole()], [whole(status="crash", reason="SIGSEGV at stage run")])
    assert change == Change(
        "broken", "smollm2-135m@portable-fp32", "pass → crash: SIGSEGV at stage run", "pass", "crash", "status"
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"stages": stages("compare")}, ("broken", "stage")),
        ({"status": "fail", "stages": stages("lower")}, {"status": "fail"}, ("fixed", "stage")),
        ({}, {"checks": {}}, ("broken", "check logits")),
        ({"status": "known_failure", "issue": "one"}, {"status": "known_failure", "issue": "two"}, ("changed", "issue")),
        ({}, {"file_bytes": 1_010_001}, ("larger", "file_bytes")),
        ({}, {"file_bytes": 989_999}, ("smaller", "file_bytes")),
        ({"file_bytes": 2000}, {"file_bytes": 3025}, ("larger", "file_bytes")),
        ({}, {"methods": ["forward", "encoder"]}, ("fixed", "methods")),
        ({"methods": ["encoder", "forward"]}, {"methods": ["forward"]}, ("broken", "methods")),
        ({}, {"quantization": {"linear_share": 0.49}}, ("broken", "quantized_share")),
        ({}, {"quantization": {}}, ("broken", "quantized_share")),
        ({}, {"quantization": {"linear_share": 0.51}}, ("fixed", "quantized_share")),
        ({}, {"delegation": {**DELEGATION, "delegates": 2}}, ("broken", "delegates")),
        ({}, {"delegation": {**DELEGATION, "delegates": 4}}, ("broken", "delegates")),
        ({}, {"generations": [said(1, 2, 4)]}, ("broken", "tokens")),
        ({}, {"generations": [said(1, 2, 4)], "host": {**HOST, "processor": "Ada 9X"}}, ("changed", "tokens")),
        ({}, {"generations": [said(1, 2, 4, reference=(1, 2, 4))]}, ("changed", "tokens")),
        ({}, {"scale": "full"}, ("changed", "scale")),
        ({}, {"latency": {"samples": samples(2e-4)}}, ("slower", "decode")),
        ({}, {"latency": {"samples": samples(0.5e-4)}}, ("faster", "decode")),
    ],
)
def test_each_figure_is_compared(changed, before, after, expected):
    assert changed(before, **after) == [expected]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"file_bytes": 1_010_000}),
        ({"file_bytes": 2000}, {"file_bytes": 3024}),
        ({}, {"quantization": {"linear_share": 0.5 + 1e-7}}),
        ({}, {"checks": {"logits": Check(status="pass", message="other"), "tokens": Check(status="pass", message="")}}),
        ({}, {"latency": {"samples": samples(1.1e-4)}}),  # of one launch a tenth is no evidence
        ({}, {"latency": {}}),
        ({}, {"latency": {"samples": samples(3e-4)}, "host": {**HOST, "processor": "another"}}),
        ({}, {"latency": {"samples": samples(3e-4)}, "host": {**HOST, "threads": 2}}),
        ({}, {"latency": {"samples": samples(3e-4)}, "versions": {"torch": "2.14.0", "executorch": "1.4.1"}}),
        ({"delegation": {}, "methods": []}, {}),  # records of before there were these figures
        ({}, {"delegation": {}, "methods": []}),
    ],
)
def test_what_is_within_its_slack_or_cannot_be_compared_is_no_change(changed, before, after):
    assert changed(before, **after) == []


def operators(**counts):
    return {**DELEGATION, "undelegated": counts}


@pytest.mark.parametrize(
    ("counts", "delegates", "kinds"),
    [
        ({"aten_embedding_default": 1, "getitem": 9, "aten_addmm_default": 1}, 3, ["broken"]),
        ({"aten_embedding_default": 2, "getitem": 3}, 3, ["broken"]),  # fewer in all, but more of one
        ({"aten_embedding_default": 1, "getitem": 8}, 3, ["fixed"]),
        ({"aten_embedding_default": 1, "getitem": 8}, 5, ["fixed", "changed"]),
        ({"aten_embedding_default": 1, "getitem": 10}, 5, ["broken", "broken"]),
    ],
)
def test_delegation_is_for_the_better_only_where_fewer_operators_are_left(changed, counts, delegates, kinds):
    found = changed(delegation={"delegates": delegates, "delegated": {}, "undelegated": counts})
    assert [kind for kind, _ in found] == kinds


def test_a_slowdown_is_told_with_its_interval(whole):
    (change,) = changes.compare([whole()], [whole(latency={"samples": samples(2e-4)})])
    assert "decode 10.00 → 5.0" in change.what
    assert "+100.0% (+" in change.what
    assert change.before == pytest.approx(10, rel=0.01)
    assert change.after == pytest.approx(5, rel=0.01)


def test_a_slower_machine_is_no_slower_program(changed):
    assert changed(latency={"samples": samples(1.3e-4, eager=1.3e-3)}) == []


def test_the_worst_comes_first(whole):
    before = [whole(configuration=name) for name in ("a", "b", "c", "d")]
    after = [
        whole(configuration="b", file_bytes=2_000_000),
        whole(configuration="c", file_bytes=9),
        whole(configuration="d", status="fail"),
    ]
    kinds = [change.kind for change in changes.compare(before, after)]
    assert kinds == ["broken", "larger", "gone", "smaller"] == sorted(kinds, key=KINDS.index)
    assert set(KINDS) >= WORSE


def test_versions_that_differ_are_found(whole):
    before = [whole(versions={"torch": "1", "executorch": "1", "torchao": "1"})]
    after = [whole(versions={"torch": "2", "executorch": "1"}), whole(configuration="x", versions={"torch": "3"})]
    assert changes.other_versions(before, after) == {"torch": ("1", "2, 3"), "torchao": ("1", "none")}


HOSTILE = "<script>alert(1)</script> [bold]x[/bold] [red](javascript:x) | `a` \x1b[31m @everyone https://x.y\n# <img src=x>"


@pytest.fixture
def hostile(whole):
    before, after = [whole(versions={"torch": "1"})], [whole(versions={"torch": HOSTILE}, status="fail", reason=HOSTILE)]
    return reports.diff(before, after, changes.compare(before, after), names=("one", HOSTILE))


def test_the_terminal_shows_markup_as_text(hostile):
    console = Console(file=io.StringIO(), width=1000, force_terminal=True, color_system="truecolor")
    console.print(reports.table(hostile))
    printed = console.file.getvalue()
    assert "[bold]x[/bold] [red](javascript:x)" in printed
    assert "\x1b[31m @" not in printed


def test_markdown_of_others_is_no_markdown(hostile):
    text = reports.markdown(hostile)
    rows = [line for line in text.splitlines() if line.startswith("| broken")]
    assert len(rows) == 1
    for mark in ("<script", "<img", " @everyone", "https://", "](", "`a`"):
        assert mark not in text
    assert rows[0].replace("\\|", "").count("|") == 4


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_html_of_others_is_text(hostile):
    page = Tags()
    page.feed(reports.html(hostile))
    assert not {"script", "img", "a", "link"} & set(page.tags)
    assert page.tags.count("tr") == 2
    assert "<script>alert(1)</script>" in "".join(page.text)


def test_all_three_say_the_same(whole):
    before, after = [whole(), whole(configuration="x")], [whole(status="fail", reason="because")]
    found = reports.diff(before, after, changes.compare(before, after), names=("runA", "runB"))
    console = Console(file=io.StringIO(), width=200)
    console.print(reports.table(found))
    for text in (console.file.getvalue(), reports.markdown(found).replace("\\", ""), reports.html(found)):
        for told in ("runA", "runB", "pass → fail", "because", "1 broken, 1 gone", "2 → 1 cells"):
            assert told in text
    assert found.worse
    assert not reports.diff(before, before, [], names=("a", "b")).worse


def test_versions_that_differ_stand_at_the_top(whole):
    before, after = [whole(versions={"torch": "1"})], [whole(versions={"torch": "2"}, status="fail")]
    found = reports.diff(before, after, changes.compare(before, after), names=("a", "b"))
    for text in (reports.markdown(found), reports.html(found)):
        assert text.index("torch 1 → 2") < text.index("pass → fail")


def test_speeds_that_cannot_be_compared_are_counted_with_the_reason(whole):
    before, after = [whole(), whole(configuration="x")], [whole(versions={"torch": "2.14.0"}), whole(configuration="x")]
    text = reports.markdown(reports.diff(before, after, changes.compare(before, after), names=("a", "b")))
    assert "speed of 1 cells not compared: another torch: 2.13.0 → 2.14.0" in text.replace("\\", "")


def test_an_entry_of_a_record_of_the_first_version_has_what_there_is(make_record):
    entry = baselines.entry(make_record(schema_version=1))
    assert (entry.undelegated, entry.delegates, entry.methods, entry.tokens_sha256) == (None, None, (), None)
