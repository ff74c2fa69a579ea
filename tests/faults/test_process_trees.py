"""What a cell's child starts, prints and leaves behind is counted with it and ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conformance import worker
from conformance.errors import ConformanceError
from conformance.trail import CellRequest
from conformance.worker import Limits, run_isolated
from tests.faults.attacks import order

ROOT = Path(__file__).parents[2]
CELL = "xnnpack-fp32"
PATIENCE = 120
"""Seconds until a test gives up on a process."""


def attack(place, target, *, limits=None, **orders):
    order(place, **orders)
    request = CellRequest("gemma3-270m", CELL, os.fspath(place))
    return run_isolated(request, limits=limits or Limits(seconds=PATIENCE), target=f"tests.faults.attacks:{target}")


def told(record):
    return record.status, record.failure.stage, record.failure.kind


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def lingering(place):
    """The processes that a child started; all of them must have been there."""
    pids = [int(line) for line in (place / "pids").read_text().split()]
    assert len(set(pids)) == 5
    return [pid for pid in pids if is_alive(pid)]


def wait_for(found, process=None):
    until = time.monotonic() + PATIENCE
    while not found() and time.monotonic() < until:
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    assert found()


def parent(directory, *targets, environment=(), **options):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.parent", os.fspath(directory), *targets],
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT), **dict(environment)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@pytest.mark.parametrize(
    ("end", "expected"),
    [("returns", None), ("killed", ("crash", "run", "SIGKILL")), ("hangs", ("timeout", "run", "TimeLimit"))],
)
def test_nothing_that_a_child_started_outlives_it(tmp_path, end, expected):
    limits = Limits(seconds=8 if end == "hangs" else PATIENCE)
    record = attack(tmp_path / "cell", "leaves_daemons", end=end, limits=limits)
    assert record.status == "pass" if expected is None else told(record) == expected
    assert lingering(tmp_path / "cell") == []


def test_memory_of_what_a_child_forked_counts(tmp_path):
    record = attack(tmp_path / "cell", "lets_another_hoard", limits=Limits(seconds=PATIENCE, memory_bytes=3 << 29))
    assert told(record) == ("oom", "lower", "MemoryLimit")


def test_a_child_that_stops_itself_is_ended(tmp_path):
    record = attack(tmp_path / "cell", "stops_itself", limits=Limits(seconds=4))
    assert told(record) == ("timeout", "run", "TimeLimit")


def test_a_child_that_kills_its_group_is_alone_in_it(tmp_path):
    assert told(attack(tmp_path / "cell", "kills_its_group")) == ("crash", "run", "SIGKILL")


@pytest.mark.parametrize("end", ["returns", "killed"])
def test_output_without_end_is_cut(tmp_path, monkeypatch, end):
    monkeypatch.setattr(worker, "LOG_BYTES", 1 << 20)
    monkeypatch.setattr(worker, "TAIL_BYTES", 1 << 16)
    record = attack(tmp_path / "cell", "says_too_much", end=end)
    if end == "returns":
        cuts, longest = map(int, record.reason.split())
        assert cuts == 2
        assert longest > 1 << 20
    else:
        assert record.failure.stderr == ["E 00:00:00 executorch:method.cpp:1] the last that was said"]
    assert worker.CUT in (tmp_path / "cell" / "stdout.log").read_bytes()


@pytest.mark.parametrize("what", ["closes_files", "closes_the_pipe_of_its_parent"])
def test_a_child_that_closes_its_files_is_watched_on(tmp_path, what):
    assert attack(tmp_path / "cell", what).status == "pass"


@pytest.mark.parametrize("end", ["returns", "killed"])
def test_temporary_files_go_with_their_child(tmp_path, end):
    attack(tmp_path / "cell", "leaves_temporary_files", end=end)
    names = (tmp_path / "cell" / "told").read_text().split()
    assert [Path(name).is_relative_to(tmp_path / "cell") for name in names] == [True] * 3
    assert [name for name in names if Path(name).exists()] == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("another", "the record of another cell, another@xnnpack-fp32"),
        ("sparse", "more than"),
        (b"".hex(), "no record"),
        (b"{}".hex(), "no record"),
        (b"\xff\xfe".hex(), "no record"),
        ((b"[" * 100_000).hex(), "no record"),
    ],
    ids=["another cell's", "a terabyte", "empty", "an object", "no text", "nested"],
)
def test_what_a_child_leaves_in_place_of_its_record_is_a_crash(tmp_path, what, message):
    record = attack(tmp_path / "cell", "leaves_what_is_no_record", what=what)
    assert told(record) == ("crash", "compare", "Record")
    assert message in record.reason


def test_breadcrumbs_that_are_none_are_passed_over(tmp_path):
    record = attack(tmp_path / "cell", "leaves_no_breadcrumbs")
    assert told(record) == ("crash", "lower", "SIGKILL")
    assert [stage.name for stage in record.stages] == ["resolve"]


def test_a_fork_server_that_is_killed_takes_no_cell_with_it(tmp_path):
    with parent(tmp_path, "kills_its_server", "closes_files") as process:
        said, _ = process.communicate(timeout=PATIENCE)
    assert said.splitlines() == ["kills_its_server pass ", "closes_files pass "]


def pids(place):
    return (place / "pids").read_text().split() if (place / "pids").is_file() else []


@pytest.mark.parametrize(
    ("target", "started", "number"),
    [("leaves_daemons", 5, signal.SIGKILL), ("leaves_daemons", 5, signal.SIGTERM), ("hangs_in_native_code", 1, signal.SIGKILL)],
)
def test_a_killed_parent_leaves_no_process_and_no_file(tmp_path, scratch, target, started, number):
    cell = tmp_path / target
    order(cell, end="hangs")
    with parent(tmp_path, target, environment={"TMPDIR": os.fspath(scratch)}) as process:
        wait_for(lambda: len(pids(cell)) == started, process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert any(scratch.iterdir())  # the fork server's socket
        process.send_signal(number)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    assert [pid for pid in pids(cell) if is_alive(int(pid))] == []
    wait_for(lambda: not any(scratch.iterdir()))


def test_a_parent_that_is_killed_with_its_group_leaves_no_process(tmp_path, scratch):
    cell = tmp_path / "leaves_daemons"
    order(cell, end="hangs")
    with parent(tmp_path, "leaves_daemons", environment={"TMPDIR": os.fspath(scratch)}, start_new_session=True) as process:
        wait_for(lambda: len(pids(cell)) == 5, process)
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    wait_for(lambda: lingering(cell) == [])


def test_a_place_for_temporary_files_that_is_too_deep_for_sockets_is_refused(tmp_path, monkeypatch):
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr(worker.tempfile, "tempdir", str(deep))
    with pytest.raises(
        ConformanceError, match=r"too long for the sockets in it: .*deep\. Set TMPDIR to one of at most 71 bytes"
    ):
        attack(tmp_path / "cell", "leaves_daemons")
