"""Whatever a cell's child does, its record says what and where, and the other cells' results stand."""

import dataclasses
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from conformance.expectations import KnownFailure
from conformance.matrix import Cell
from conformance.record import read
from conformance.trail import CellRequest
from conformance.worker import InterruptedRunError, Limits, Runner, run_isolated
from zoo.models.gemma3 import GEMMA3_270M
from zoo.models.mamba import MAMBA_130M

CELL = "xnnpack-fp32"
NOTED = {"issue": "https://example.org/7", "until": "9999-12-31"}


def run(tmp_path, target, **limits):
    request = CellRequest("gemma3-270m", CELL, os.fspath(tmp_path / target))
    return run_isolated(request, limits=Limits(**limits), target=f"tests.faults.cells:{target}")


@pytest.mark.parametrize(
    ("target", "limits", "status", "stage", "kind"),
    [
        ("is_killed", {}, "crash", "lower", "SIGKILL"),
        ("breaks_memory", {}, "crash", "run", "SIGSEGV"),
        ("leaves", {}, "crash", "emit", "Exit"),
        ("hangs", {"seconds": 1.0}, "timeout", "run", "TimeLimit"),
        ("hoards_memory", {"memory_bytes": 2 << 30}, "oom", "export", "MemoryLimit"),
        ("runs_out", {}, "oom", "baseline", "RuntimeError"),
        ("raises", {}, "fail", "export", "KeyError"),
    ],
)
def test_a_death_becomes_a_record_with_its_stage(tmp_path, target, limits, status, stage, kind):
    record = run(tmp_path, target, **limits)
    assert (record.status, record.failure.stage, record.failure.kind) == (status, stage, kind)
    assert kind in record.reason
    assert [done.name for done in record.stages] == (["resolve"] if target != "runs_out" else [])
    assert record.versions["torch"]


def test_a_model_that_no_registry_knows_reaches_the_child(tmp_path):
    row = dataclasses.replace(GEMMA3_270M, name="declared-elsewhere", family="elsewhere")
    request = CellRequest(row.name, CELL, os.fspath(tmp_path / "cell"), row=row)
    record = run_isolated(request, target="tests.faults.cells:knows_its_model")
    assert (record.model, record.family, record.status) == ("declared-elsewhere", "elsewhere", "pass")


def test_what_the_runtime_printed_is_in_the_record(tmp_path):
    record = run(tmp_path, "breaks_memory")
    assert record.failure.stderr == ["E 00:00:00 executorch:method.cpp:1] a reason that only stderr knows"]
    assert "a reason that only stderr knows" in record.reason


def test_a_hung_child_is_gone_afterwards(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run(tmp_path, "hangs", seconds=0.5)
    time.sleep(0.1)
    after = {child.pid for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE}
    # The fork server and the resource tracker stay for the next cell.
    assert len(after - before) <= 2


def test_the_other_cells_results_stand(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "conformance.worker.run_isolated",
        lambda request, limits, stop: run_isolated(
            request,
            limits=limits,
            target="tests.faults.cells:" + ("is_killed" if request.configuration == CELL else "passes"),
        ),
    )
    runner = Runner(tmp_path)
    found = {name: runner.record(Cell(GEMMA3_270M, name)).status for name in ("portable-fp32", CELL, "xnnpack-fp32-sdpa-kv")}
    assert found == {"portable-fp32": "pass", CELL: "crash", "xnnpack-fp32-sdpa-kv": "pass"}
    assert {record.configuration: record.status for record in read(runner.records)} == found


def test_a_cell_runs_once_a_run_whoever_asks(tmp_path, monkeypatch):
    calls = []

    def once(request, limits, stop):
        calls.append((request.model, request.configuration))
        return run_isolated(request, limits=limits, target="tests.faults.cells:passes")

    monkeypatch.setattr("conformance.worker.run_isolated", once)
    cell = Cell(GEMMA3_270M, CELL)
    first = Runner(tmp_path).record(cell)
    assert Runner(tmp_path).record(cell) == first
    assert calls == [(cell.model.name, cell.configuration)]


def test_a_cell_that_means_nothing_is_recorded_without_a_child(tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.worker.run_isolated", lambda *_, **__: pytest.fail("a child was started"))
    runner, cell = Runner(tmp_path), Cell(MAMBA_130M, "xnnpack-fp32-sdpa-kv")
    known = KnownFailure("*", stage="export", error="attend", cause="no child may be asked", **NOTED)
    record = runner.record(cell, (known,))
    assert (record.status, record.reason) == ("not_applicable", cell.inapplicable)
    assert (record.stages, record.failure) == ([], None)
    assert [found.cell for found in read(runner.records)] == [cell.name]


def test_a_known_death_is_a_known_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "conformance.worker.run_isolated",
        lambda request, limits, stop: run_isolated(request, limits=limits, stop=stop, target="tests.faults.cells:is_killed"),
    )
    known = KnownFailure(CELL, stage="lower", error="SIGKILL", cause="the test kills it", **NOTED)
    record = Runner(tmp_path).record(Cell(GEMMA3_270M, CELL), (known,))
    assert record.status == "known_failure"
    assert "the test kills it" in record.reason


def test_a_run_that_is_stopped_records_nothing_untrue(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "conformance.worker.run_isolated",
        lambda request, limits, stop: run_isolated(request, limits=limits, stop=stop, target="tests.faults.cells:hangs"),
    )
    runner = Runner(tmp_path)
    threading.Timer(1.0, runner.stop).start()
    with pytest.raises(InterruptedRunError):
        runner.record(Cell(GEMMA3_270M, CELL))
    with pytest.raises(InterruptedRunError):
        runner.record(Cell(GEMMA3_270M, "portable-fp32"))
    assert not runner.records.exists()


PARENT = """
import sys
from conformance.trail import CellRequest
from conformance.worker import run_isolated
if __name__ == "__main__":
    print("ready", flush=True)
    run_isolated(CellRequest("gemma3-270m", "xnnpack-fp32", sys.argv[1]), target="tests.faults.cells:hangs")
"""


def test_a_killed_parent_takes_its_children_with_it(tmp_path, request):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(request.config.rootpath)}
    parent = subprocess.Popen([sys.executable, script, tmp_path / "cell"], env=environment, stdout=subprocess.DEVNULL)
    began = time.monotonic()
    while not (tmp_path / "cell" / "stages.jsonl").exists() and time.monotonic() - began < 120:
        time.sleep(0.1)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
