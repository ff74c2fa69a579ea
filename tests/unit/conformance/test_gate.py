"""The gate stops what is worse, announces what is better, samples more where it cannot tell, says what it did not compare."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from conformance import baselines, gate, statistics
from conformance.baselines import Entry
from conformance.changes import Change
from conformance.errors import ConformanceError
from conformance.launches import Launcher
from conformance.reports import gate as reports

CELL, OTHER = "smollm2-135m@xnnpack-fp32", "gpt2@xnnpack-fp32"
HOST = {"processor": "Zilog Z80", "machine": "z80", "threads": 1}
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0", "python": "3.11"}


def launches(count, slower=0.0, seed=0):
    """Launches as a quiet machine makes them."""
    ratios = -2 + math.log1p(slower) + 0.01 * np.random.default_rng(seed).standard_normal(count)
    return [statistics.Launch(float(ratio), 1e-3) for ratio in ratios]


def entry(*, timed=(), **fields):
    """A passing entry; ``timed`` are its launches of decoding."""
    decode = tuple(baselines.LaunchEntry(ratio=each.ratio, eager=each.reference) for each in timed)
    return Entry(
        **{
            "status": "pass",
            "furthest_stage": "measure",
            "created": "2026-11-21T08:00:00+00:00",
            "scale": "twin",
            "versions": VERSIONS,
            "host": HOST,
            "latency": {"decode": decode} if decode else {},
            **fields,
        }
    )


def judged(before, after, *, covered=None, **options):
    return gate.judge(before, after, covered=before if covered is None else covered, **options)


class More:
    """Makes launches that are so much slower, and counts them."""

    def __init__(self, slower=0.0, seed=100):
        self.slower, self.seed, self.asked = slower, seed, []

    def __call__(self, cell):
        self.asked.append(cell)
        return {"decode": launches(1, self.slower, self.seed + len(self.asked))[0]}


def test_the_same_passes():
    verdict = judged({CELL: entry()}, {CELL: entry()})
    assert verdict.passed
    assert gate.last_line(verdict) == (
        "gate passed: 1 cells: 0 worse, 0 better, 0 new, 0 inconclusive; latency of 0 phases compared (0 launches made)"
    )


def test_a_cell_that_the_run_was_to_cover_fails_when_it_is_missing():
    verdict = judged({CELL: entry(), OTHER: entry()}, {CELL: entry()})
    assert [(change.kind, change.cell) for change in verdict.failures] == [("gone", OTHER)]
    assert judged({CELL: entry(), OTHER: entry()}, {CELL: entry()}, covered=[CELL]).passed


def test_a_new_cell_is_announced_and_fails_only_if_it_is_not_green():
    verdict = judged({CELL: entry()}, {CELL: entry(), OTHER: entry(status="not_applicable")})
    assert verdict.passed
    assert [change.cell for change in verdict.new] == [OTHER]
    assert gate.commands(verdict) == ["zoo baseline --update gpt2"]
    assert not judged({CELL: entry()}, {CELL: entry(), OTHER: entry(status="inconclusive")}).passed


def test_an_improvement_is_announced_with_the_command_that_records_it():
    verdict = judged({CELL: entry(status="fail")}, {CELL: entry()})
    assert verdict.passed
    assert gate.commands(verdict) == ["zoo baseline --update smollm2-135m"]
    assert "zoo baseline --update smollm2-135m" in reports.markdown(verdict).replace("\\", "")


def test_a_known_failure_that_passes_is_stopped_until_it_is_deleted():
    verdict = judged({CELL: entry(status="known_failure")}, {CELL: entry(status="fixed")})
    assert not verdict.passed
    assert "zoo expectations --update" in reports.markdown(verdict)


def test_what_was_accepted_as_failing_may_go_on_failing():
    assert judged({CELL: entry(status="fail")}, {CELL: entry(status="fail")}).passed


def test_another_scale_is_refused():
    with pytest.raises(ConformanceError, match="scale full, and what it is held against of scale twin; run with --scale twin"):
        judged({CELL: entry()}, {CELL: entry(scale="full")})


def test_a_slowdown_fails_with_its_whole_interval_beyond_the_margin():
    more = More(slower=0.15)
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(1, 0.15, 50))}, more=more)
    (change,) = verdict.failures
    assert (change.kind, change.figure) == ("slower", "decode")
    low = float(change.what.rpartition("(+")[2].partition("%")[0])
    assert low >= 5.0
    assert verdict.launches == len(more.asked) >= gate.LEAST_LAUNCHES - 1
    assert verdict.timings == 1


def test_nothing_is_measured_again_where_it_is_clear():
    more = More()
    assert judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(8, 0.0, 50))}, more=more).passed
    assert more.asked == []


def test_a_slowdown_within_the_margin_passes():
    assert judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(3, 0.02, 50))}, more=More(0.02)).passed


def test_a_speedup_is_announced():
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(8, -0.2, 50))}, more=More(-0.2))
    assert verdict.passed
    assert [change.kind for change in verdict.improvements] == ["faster"]


def test_what_stays_unclear_is_listed_after_as_many_launches_as_are_allowed():
    more = More(slower=0.05)  # on the margin itself
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(1, 0.05, 50))}, more=more, most=7)
    assert verdict.passed
    assert [change.figure for change in verdict.inconclusive] == ["decode"]
    assert len(more.asked) == 7
    assert "1 inconclusive" in gate.last_line(verdict)


def test_a_launch_that_comes_to_nothing_counts_and_proves_nothing():
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=[])}, more=lambda cell: {}, most=5)
    assert verdict.passed
    assert verdict.launches == 5
    assert len(verdict.inconclusive) == 1


def test_two_launches_are_no_slowdown_however_slow():
    after = launches(2, 3.0, 50)
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=after)}, more=lambda cell: {}, most=2)
    assert (verdict.passed, len(verdict.inconclusive)) == (True, 1)


def test_only_the_cells_that_are_unclear_are_timed_again():
    more = More()
    before = {CELL: entry(timed=launches(8)), OTHER: entry(timed=launches(8))}
    after = {CELL: entry(timed=launches(8, 0.0, 50)), OTHER: entry()}
    judged(before, after, more=more)
    assert set(more.asked) == {OTHER}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": {**HOST, "processor": "Ada 9X"}}, "another processor: Zilog Z80 → Ada 9X"),
        ({"host": {**HOST, "threads": 4}}, "another threads: 1 → 4"),
        ({"versions": {**VERSIONS, "torch": "2.14.0"}}, "another torch: 2.13.0 → 2.14.0"),
    ],
)
def test_another_machine_or_another_eager_is_not_compared_and_that_is_said(fields, told):
    more = More(1.0)
    verdict = judged({CELL: entry(timed=launches(8))}, {CELL: entry(timed=launches(8, 1.0), **fields)}, more=more)
    assert verdict.passed
    assert (more.asked, verdict.timings) == ([], 0)
    assert verdict.uncompared == {told: (CELL,)}
    assert "zoo gate --against" in reports.markdown(verdict).replace("\\", "")
    assert "of 1 cells not" in gate.last_line(verdict)


def test_another_version_of_what_is_under_test_is_compared():
    slow = entry(timed=launches(8, 0.3, 50), versions={**VERSIONS, "executorch": "1.5"})
    assert not judged({CELL: entry(timed=launches(8))}, {CELL: slow}, more=More(0.3)).passed


def test_a_baseline_without_samples_says_so():
    verdict = judged({CELL: entry()}, {CELL: entry(timed=launches(3))}, more=More())
    assert verdict.uncompared == {"the baseline has no samples": (CELL,)}


def test_latency_of_what_fails_is_not_asked():
    more = More()
    judged({CELL: entry(timed=launches(8))}, {CELL: entry(status="fail", timed=[])}, more=more)
    assert more.asked == []


def test_of_many_cells_only_the_slow_one_is_stopped():
    before = {f"m{index}@c": entry(timed=launches(5, 0.0, index)) for index in range(100)}
    after = {f"m{index}@c": entry(timed=launches(4, 0.3 if index == 7 else 0.02, 1000 + index)) for index in range(100)}
    verdict = judged(before, after, more=lambda cell: {}, most=1)
    assert [change.cell for change in verdict.failures] == ["m7@c"]


def test_programs_are_compared_with_each_other_where_both_are_there():
    timings = {(CELL, "decode"): ([],)}

    def more(cell):
        (launch,) = launches(1, 0.2, len(timings[CELL, "decode"][0]))
        return {"decode": statistics.Launch(launch.ratio + 2, launch.reference)}

    verdict = judged({CELL: entry()}, {CELL: entry()}, more=more, timings=timings, uncompared={"why": (OTHER,)})
    (change,) = verdict.failures
    assert change.what.startswith("decode: the time changed by +")
    assert verdict.uncompared == {"why": (OTHER,)}


HOSTILE = "<b>[red]x[/red]</b> `| @all\n# \x1b[31m"


@pytest.fixture
def verdict():
    worse = Change("broken", CELL, HOSTILE, "pass", "fail", "status")
    return gate.Verdict((worse,), (), (), (), (), {HOSTILE: (CELL,)}, cells=1)


def test_a_verdict_is_inert_in_every_form(verdict):
    console = Console(file=io.StringIO(), width=300)
    console.print(reports.table(verdict))
    assert "[red]x[/red]" in console.file.getvalue()
    assert "\x1b[31m" not in console.file.getvalue()
    text = reports.markdown(verdict)
    assert not [mark for mark in ("<b>", " @all", "\n# ") if mark in text]
    told = json.loads(reports.as_json(verdict))
    assert told["failures"][0]["what"] == HOSTILE
    assert (told["passed"], told["cells"]) == (False, 1)


def test_the_last_line_says_how_it_ended(verdict):
    console = Console(file=io.StringIO(), width=300)
    console.print(reports.table(verdict))
    assert console.file.getvalue().rstrip().splitlines()[-1].startswith("gate FAILED: 1 cells: 1 worse")


def test_a_launcher_asks_for_the_cell_and_for_its_programs(tmp_path, monkeypatch, make_record):
    asked = []

    def isolated(request, *, limits, target):
        asked.append((request, target))
        times = {"before": [1.0] * 4, "eager": [1.0] * 4, "executorch": [0.5] * 4, "after": [2.0] * 4}
        return make_record(latency={"samples": {"decode": times}})

    monkeypatch.setattr("conformance.launches.run_isolated", isolated)
    launcher = Launcher(tmp_path, options={"threads": 3}, programs={OTHER: (tmp_path / "a", tmp_path / "b")})
    assert launcher(CELL)["decode"].ratio == pytest.approx(math.log(0.5))
    assert launcher(OTHER)["decode"].ratio == pytest.approx(math.log(2.0))
    (first, target), (second, _) = asked
    assert (first.model, first.configuration, first.threads, first.programs) == ("smollm2-135m", "xnnpack-fp32", 3, ())
    assert second.programs == (("before", str(tmp_path / "a")), ("after", str(tmp_path / "b")))
    module, _, function = target.partition(":")
    assert (module, function) == ("conformance.remeasure", "time_cell")
