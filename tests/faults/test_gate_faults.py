"""Regressions put into the record of a real run: the gate stops each of them, and nothing else."""

import os
import random
import statistics

import pytest

from conformance import baselines, gate
from conformance.launches import Launcher
from conformance.record import Check, Record
from conformance.trail import CellRequest
from conformance.worker import run_isolated
from tests.faults import defects
from tests.faults.defects.gate import GEMMA, Side, experiment

CELL = GEMMA
GATED = [found for found in defects.load().values() if found.place == "gate"]
DRAWS = 20
"""Gatings of launches that were made before, each of others."""
BASELINE_LAUNCHES = 12


@pytest.fixture(scope="module")
def record(tmp_path_factory, artifact):
    """What a run finds of the cell."""
    model, _, configuration = CELL.partition("@")
    found = run_isolated(CellRequest(model, configuration, os.fspath(tmp_path_factory.mktemp("cell"))))
    assert found.status == "pass", found.reason
    return found


def judged(before, after, **options):
    sides = [{record.cell: baselines.entry(record)} for record in (before, after)]
    return gate.judge(*sides, covered=sides[0], **options)


@pytest.mark.parametrize("found", GATED, ids=lambda found: found.id)
def test_a_seeded_regression_is_stopped(request, found, mutation):
    side = Side(found.cell)
    if found.cell == CELL:
        side.record = request.getfixturevalue("record").model_copy(deep=True)
    found.seed(side)
    if side.launches:
        verdicts = [timed(found.cell, side.launches, draw) for draw in range(DRAWS)]
    else:
        verdicts = [judged(request.getfixturevalue("record"), side.record)]
    stopped = [not verdict.passed for verdict in verdicts]
    mutation(found, ["gate"] if all(stopped) else [], "; ".join(change.what for change in verdicts[0].failures))
    assert all(stopped)
    for verdict in verdicts:
        assert {change.cell for change in verdict.failures} == {found.cell}
        assert {change.kind for change in verdict.failures} == {"slower"} or not side.launches


@pytest.mark.parametrize("cell", sorted({found.cell for found in GATED}))
def test_launches_of_the_same_program_are_not_stopped(cell):
    assert all(timed(cell, experiment(cell)["launches"]["identical"], draw).passed for draw in range(DRAWS))


def timed(cell, launches, draw):
    """What the gate says of launches that followed each other, held against earlier ones of the program as it was."""
    told = experiment(cell)
    record, sound = Record.model_validate(told["record"]), told["launches"]["identical"]
    half, generator = len(sound) // 2, random.Random(draw)
    first = generator.randint(0, half - BASELINE_LAUNCHES)
    second = generator.randint(half, len(launches) - gate.MOST_LAUNCHES - 1)
    before = baselines.entry(record, sound[first : first + BASELINE_LAUNCHES])
    after, *further = (baselines.entry(record, [each]) for each in launches[second : second + gate.MOST_LAUNCHES + 1])
    more = iter([{phase: each.launches(phase)[0] for phase in each.latency} for each in further])
    return gate.judge({cell: before}, {cell: after}, covered=[cell], more=lambda _: next(more))


def test_without_a_regression_nothing_is_stopped(record):
    again = record.model_copy(deep=True)
    again.created, again.checks["latency"] = "2027-01-01T00:00:00+00:00", Check(status="pass", message="other figures")
    again.stages[0].seconds *= 10
    verdict = judged(record, again)
    assert (verdict.failures, verdict.improvements, verdict.new, verdict.other) == ((), (), (), ())


def test_a_cell_that_was_not_run_is_stopped(record):
    before = {CELL: baselines.entry(record)}
    assert [change.kind for change in gate.judge(before, {}, covered=before).failures] == ["gone"]


def test_less_of_a_quantized_program_is_stopped(record):
    quantized, less = record.model_copy(deep=True), record.model_copy(deep=True)
    quantized.quantization["linear_share"], less.quantization["linear_share"] = 1.0, 0.99
    assert not judged(quantized, less).passed
    assert judged(less, quantized).passed


def test_a_launch_times_what_its_child_opens(tmp_path, artifact):
    """The samples are of the cell's own kind, and a program that takes four times as long is seen to."""
    times = {}
    for name in ("time_cell", "four_times_as_long"):
        module = "conformance.remeasure" if name == "time_cell" else "tests.faults.cells"
        launcher = Launcher(tmp_path, target=f"{module}:{name}")
        samples = launcher.samples(CELL)
        assert launcher.failures == {}
        assert set(samples) == {"decode", "prefill"}
        assert {len(found) for sides in samples.values() for found in sides.values()} == {16}
        times[name] = statistics.median(samples["decode"]["executorch"]) / statistics.median(samples["decode"]["eager"])
    assert times["four_times_as_long"] > 1.8 * times["time_cell"]


def test_two_programs_are_timed_beside_each_other(tmp_path, artifact, gemma3_twin):
    launcher = Launcher(tmp_path, programs={CELL: (artifact.program, artifact.program)})
    samples = launcher.samples(CELL)
    assert launcher.failures == {}
    assert {tuple(sides) for sides in samples.values()} == {("before", "after")}


def test_a_launch_that_dies_is_no_evidence(tmp_path):
    launcher = Launcher(tmp_path, target="tests.faults.cells:breaks_memory")
    assert launcher(CELL) == {}
    assert "SIGSEGV" in launcher.failures[CELL]
