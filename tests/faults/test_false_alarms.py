"""Latency of identical artifacts is hardly ever called slower, and a slowdown of a tenth nearly always is.

With fixed seeds, and fewer gatings than docs/verdicts.md has figures of: ``python -m benchmarks.gate_experiment --again``.
"""

import json
from pathlib import Path

import pytest

from benchmarks import gate_experiment
from benchmarks.gate_noise import NOISES, drawn
from conformance import gate
from conformance.record import Record
from conformance.reports.verdicts import DIRECTORY, LatencyAlarms

ROOT = Path(__file__).parents[2]
EXPERIMENT = json.loads((ROOT / "reports" / "gate-experiment.json").read_text(encoding="utf-8"))
FIGURES = LatencyAlarms.model_validate_json((ROOT / DIRECTORY / "latency-aa.json").read_text(encoding="utf-8"))
SOUND = [name for name, noise in NOISES.items() if not noise.worse]


@pytest.fixture(params=EXPERIMENT["cells"])
def timed(request):
    """A cell of the experiment: its name, its record, its launches of either kind."""
    cell = EXPERIMENT["cells"][request.param]
    return request.param, Record.model_validate(cell["record"]), cell["launches"]


def test_the_windows_of_a_gating_share_no_launch():
    run = 1 + gate.MOST_LAUNCHES
    found = gate_experiment.windows(70)
    assert len(found) == len(set(found)) == 1190
    for first, second in found:
        baseline, after = (
            set(range(at, at + size)) for at, size in ((first, gate_experiment.BASELINE_LAUNCHES), (second, run))
        )
        assert not baseline & after
        assert max(baseline | after) < 70
    assert gate_experiment.windows(12 + run - 1) == []


def test_timed_launches_of_identical_artifacts_raise_no_alarm(timed):
    cell, base, launches = timed
    rows = gate_experiment.simulate(cell, launches, base, gate_experiment.chosen(len(launches["identical"]), 60))
    found = {arm: gate_experiment.counted([row for row in rows if row["arm"] == arm]) for arm in gate_experiment.ARMS}
    assert found["identical"]["gatings"] == found["slowed"]["gatings"] == 60
    assert found["identical"]["fail"] == found["identical"]["faster"] == 0
    assert found["slowed"]["seeded_phase_slower"] >= 57
    assert all(row["regressions_stopped"] == row["regressions"] > 0 for row in rows)


def test_launches_of_identical_artifacts_drawn_at_random_raise_no_alarm(timed):
    _, base, launches = timed
    pools = {arm: [gate_experiment.by_phase(base, samples) for samples in found] for arm, found in launches.items()}
    same, slower = (drawn(pools["identical"], pools[arm], 200, 1) for arm in gate_experiment.ARMS)
    assert same["slower"] <= 2
    assert slower["slower"] >= 190


@pytest.mark.parametrize("name", SOUND)
def test_identical_artifacts_are_hardly_ever_called_slower(name):
    count = 200 // NOISES[name].cells
    ends = NOISES[name].gatings(count, 0.0, 11)
    assert ends["slower"] + ends["faster"] <= 0.01 * count
    assert ends["same"] >= 0.8 * count


@pytest.mark.parametrize("name", SOUND)
def test_a_slowdown_of_a_tenth_is_nearly_always_found(name):
    count = 200 // NOISES[name].cells
    ends = NOISES[name].gatings(count, 0.10, 12)
    assert ends["slower"] >= 0.95 * count
    assert ends["same"] <= 0.01 * count


def test_a_louder_machine_makes_it_inconclusive_rather_than_wrong():
    ends = NOISES["loud"].gatings(100, 0.0, 13)
    assert ends["slower"] + ends["faster"] <= 10
    assert ends["inconclusive"] > 20


@pytest.mark.parametrize("arm", gate_experiment.ARMS)
def test_the_page_and_the_report_of_the_experiment_count_the_same_gatings(arm):
    of_page = {each.name: getattr(each, arm) for each in FIGURES.alarms if each.launches == "timed"}
    assert {name: (each.gatings, each.slower, each.inconclusive) for name, each in of_page.items()} == {
        name: tuple(cell["summary"][arm][figure] for figure in ("gatings", "fail", "inconclusive"))
        for name, cell in EXPERIMENT["cells"].items()
    }
    assert FIGURES.created == EXPERIMENT["created"]
    assert gate_experiment.markdown(EXPERIMENT) == (ROOT / "reports" / "gate-experiment.md").read_text(encoding="utf-8")


def test_at_most_one_gating_of_a_hundred_of_identical_artifacts_is_a_false_alarm():
    """Of the committed figures: at least a thousand gatings of each kind, the bound and not only the share."""
    sound = [each for each in FIGURES.alarms if each.launches != "worse"]
    assert {each.name for each in sound} == {*EXPERIMENT["cells"], *SOUND}
    for each in sound:
        assert each.identical.gatings >= 1000, each.name
        assert each.identical.slower / each.identical.gatings <= each.identical.slower_at_most <= 0.01, each.name


def test_the_bound_is_that_of_clopper_and_pearson():
    assert gate_experiment.told(0, 0, 0, 100).slower_at_most == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-5)
    assert gate_experiment.told(100, 0, 0, 100).slower_at_most == 1.0
