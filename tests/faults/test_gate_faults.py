"""Regressions put into the record of a real run: the gate stops each of them, and nothing else."""

import os
import statistics

import pytest

from conformance import baselines, gate
from conformance.launches import Launcher
from conformance.record import Check
from conformance.trail import CellRequest
from conformance.worker import run_isolated

CELL = "gemma3-270m@xnnpack-fp32-sdpa-kv"


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


def a_changed_token(record):
    record.generations[-1].tokens[-1] += 1


def a_token_less(record):
    record.generations[0].tokens.pop()


def a_lost_delegate(record):
    record.delegation["delegates"] -= 1


def a_delegate_more(record):
    record.delegation["delegates"] += 1


def an_operator_no_longer_delegated(record):
    name = next(iter(record.delegation["delegated"]))
    record.delegation["undelegated"][name] = record.delegation["undelegated"].get(name, 0) + 1


def a_status(record):
    record.status, record.reason = "fail", "tokens: 3 of 4 prompts answered with the tokens of eager"


def a_crash(record):
    record.status, record.stages = "crash", record.stages[:6]


def nothing_proved(record):
    record.status = "inconclusive"


def no_longer_applicable(record):
    record.status, record.stages, record.file_bytes = "not_applicable", [], None


def an_excuse(record):
    record.status, record.issue = "known_failure", "https://example.org/1"


def a_stage_moved_back(record):
    record.stages.pop()


def a_file_grown(record):
    record.file_bytes = round(record.file_bytes * 1.011) + 1024


def a_method_less(record):
    record.methods = []


def a_check_not_made(record):
    del record.checks["cache_state"]


SEEDED = (
    a_changed_token,
    a_token_less,
    a_lost_delegate,
    a_delegate_more,
    an_operator_no_longer_delegated,
    a_status,
    a_crash,
    nothing_proved,
    no_longer_applicable,
    an_excuse,
    a_stage_moved_back,
    a_file_grown,
    a_method_less,
    a_check_not_made,
)


@pytest.mark.parametrize("seed", SEEDED, ids=lambda seed: seed.__name__)
def test_a_seeded_regression_is_stopped(record, seed):
    worse = record.model_copy(deep=True)
    seed(worse)
    verdict = judged(record, worse)
    assert not verdict.passed
    assert {change.cell for change in verdict.failures} == {CELL}


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
