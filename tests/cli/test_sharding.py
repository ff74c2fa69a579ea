"""A run that is dealt to five shards, one of them killed and continued, records what a run of everything records.

Real cells in real processes: ``zoo run`` is a process here, and it is ended by SIGKILL.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conformance.merging import stable
from conformance.record import read, write
from conformance.reports.generated import RECORDS
from conformance.runs import finished, read_manifest

ROOT = Path(__file__).parents[2]
SHARDS = 5
KILLED = 2
MODELS = ("deit", "dinov2", "vit", "dit", "convnext", "mamba")
"""Five small models, one for each shard, and one to which the configurations do not apply."""
WHAT = (*MODELS, "-c", "portable-fp32", "-c", "xnnpack-fp32")
PATIENCE = 600
"""Seconds until a test gives up on a process; from warm caches one takes about ten."""


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", "from conformance.cli import main; main()", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def zoo(*arguments, cwd):
    with start(*arguments, cwd=cwd) as process:
        told, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, " ".join(told.split())


def kill_with_a_verdict_and_without_the_rest(process, run):
    """SIGKILL between the first verdict and the last. Returns the processes it had started."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if run.is_dir() and any(run.glob("cells/*/verdict.json")):
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return children
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    return pytest.fail("no cell got a verdict")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def durations(place):
    """Records of one cell: all others are expected to last as long."""
    path = place / "durations.jsonl"
    write(path, read(ROOT / RECORDS)[:1])
    return path


@pytest.fixture(scope="module")
def unsharded(place):
    code, told = zoo("run", *WHAT, "-j", 2, "--run", place / "whole", "--records", place / "whole.jsonl", cwd=place)
    assert code == 0, told
    return read(place / "whole.jsonl")


@pytest.fixture(scope="module")
def sharded(place, durations):
    """The run directories of all shards after one was killed, the processes that it had, and its verdicts by then."""
    runs = [place / f"shard-{index}" for index in range(1, SHARDS + 1)]

    def command(index):
        return ("run", *WHAT, "-j", 1, "--shard", f"{index}/{SHARDS}", "--durations", durations, "--run", runs[index - 1])

    processes = {index: start(*command(index), cwd=place) for index in range(1, SHARDS + 1)}
    children = kill_with_a_verdict_and_without_the_rest(processes[KILLED], runs[KILLED - 1])
    gone = psutil.wait_procs(children, timeout=120)[1] == []  # a fork server takes seconds to leave torch behind
    for index, process in processes.items():
        told, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == (-signal.SIGKILL if index == KILLED else 0), told
    return runs, gone


@pytest.mark.parametrize("shards", [SHARDS])
class TestShards:
    """With pytest-xdist the tests of a class and a parameter go to one worker: the runs are made once."""

    def test_every_cell_is_in_one_shard(self, shards, sharded, unsharded):
        runs, _ = sharded
        dealt = [name for run in runs for name in read_manifest(run).cells]
        assert sorted(dealt) == sorted(record.cell for record in unsharded)

    def test_a_killed_run_leaves_no_process(self, shards, sharded):
        _, gone = sharded
        assert gone

    def test_a_killed_and_continued_shard_merges_to_what_a_whole_run_records(self, shards, place, sharded, unsharded):
        runs, _ = sharded
        killed = runs[KILLED - 1]
        before = finished(killed)
        cells = read_manifest(killed).cells
        assert 0 < len(before) < len(cells)

        code, told = zoo("merge", *runs, "--into", place / "unfinished.jsonl", cwd=place)
        missing = set(cells) - set(before)
        assert code == 1
        assert f"{killed} is unfinished: {len(missing)} (" in told
        assert f"zoo run --resume {killed}" in told
        assert all(name in told for name in missing)

        code, told = zoo("run", "--resume", killed, "-j", 1, cwd=place)
        assert code == 0, told
        assert f"{len(before)} of {len(cells)} cells done before" in told
        after = finished(killed)
        assert set(after) == set(cells)
        assert {name: after[name] for name in before} == before  # kept, not run again

        code, told = zoo("merge", *runs, "--into", place / "merged.jsonl", cwd=place)
        assert code == 0, told
        merged = read(place / "merged.jsonl")
        assert [record.cell for record in merged] == [record.cell for record in unsharded]
        assert [stable(record) for record in merged] == [stable(record) for record in unsharded]
        assert {record.status for record in merged} == {"pass", "not_applicable"}

    def test_a_merge_without_a_shard_is_told_what_is_missing(self, shards, place, sharded):
        runs, _ = sharded
        code, told = zoo("merge", *runs[1:], "--into", place / "four.jsonl", cwd=place)
        assert code == 1
        assert f"shard 1/{shards} was not given: {len(read_manifest(runs[0]).cells)} (" in told

    def test_a_run_is_not_continued_as_another(self, shards, place, sharded):
        runs, _ = sharded
        code, told = zoo("run", "--resume", runs[0], "--shard", f"3/{shards}", "--threads", 2, cwd=place)
        assert code == 2
        assert re.search(r"started otherwise .*shard: 1/5, now 3/5; threads: 1, now 2", told)
