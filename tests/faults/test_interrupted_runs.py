"""However a run ends, the cells that were finished are in its records, and ``zoo run --resume`` finishes the others."""

import errno
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from conformance import cli, runs, worker
from conformance.record import read

ROOT = Path(__file__).parents[2]
MODEL = "gemma3-270m"
FINISHED = ("portable-fp32", "xnnpack-fp32")
HANGS = "xnnpack-fp32-sdpa-kv"
CONFIGURATIONS = (*FINISHED, HANGS, "xnnpack-fp32-sdpa-kv-8da4w-emb8w")
PATIENCE = 180
"""Seconds until a test gives up on a process."""
CONFTEST = """
import functools
import conformance.worker
from tests.faults import attacks

conformance.worker.PRELOAD = "tests.faults.bare"
conformance.worker.run_isolated = functools.partial(
    conformance.worker.run_isolated, target="tests.faults.attacks:waits_at_the_last"
)
"""
SUITE = f"""
import pytest
from conformance import ModelConformance
from zoo.models.gemma3 import GEMMA3_270M

class TestGemma3(ModelConformance):
    model = GEMMA3_270M

    @pytest.mark.configurations{CONFIGURATIONS}
    def test_it(self, record):
        assert record.status == "pass"
"""


@pytest.fixture
def pretending(monkeypatch, tmp_path):
    """Cells in this process's runs only pretend. ``cli.main`` gives its exit code."""
    isolated = functools.partial(worker.run_isolated, target="tests.faults.attacks:waits_at_the_last")
    monkeypatch.setattr(worker, "run_isolated", isolated)
    monkeypatch.chdir(tmp_path)

    def zoo(*arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        return caught.value.code

    return zoo


def configurations(run):
    return {record.configuration for record in read(run / runs.RECORDS)}


def until(found, process=None):
    began = time.monotonic()
    while not found() and time.monotonic() - began < PATIENCE:
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    assert found()


def hanging(run):
    """Whether a run has finished some cells and hangs in one."""
    finished = {path.parent.name for path in run.glob("cells/*/verdict.json")}
    trail = run / "cells" / f"{MODEL}@{HANGS}" / "stages.jsonl"
    return {f"{MODEL}@{name}" for name in FINISHED} <= finished and trail.is_file() and '"run"' in trail.read_text()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_told_to_stop_keeps_what_is_finished(tmp_path, pretending, capsys, name):
    run = tmp_path / "run"
    number = signal.Signals[name]
    before = signal.getsignal(number)

    def interrupt():
        until(lambda: hanging(run))
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    asked = [option for configuration in CONFIGURATIONS for option in ("-c", configuration)]
    assert pretending("run", MODEL, *asked, "-j", 1, "--run", run, "--records", tmp_path / "all.jsonl") == 128 + number
    assert signal.getsignal(number) == before
    told = capsys.readouterr().err
    assert "interrupted: 2 of 4 cells done" in told
    assert f"the rest: zoo run --resume {run}" in told.replace("\n", " ").replace("  ", " ")
    assert configurations(run) == set(FINISHED)
    assert {record.configuration for record in read(tmp_path / "all.jsonl")} == set(FINISHED)

    (run / "go").touch()
    assert pretending("run", "--resume", run) == 0
    assert "2 of 4 cells done before" in capsys.readouterr().err
    assert configurations(run) == set(CONFIGURATIONS)


@pytest.mark.parametrize(("workers", "name"), [(0, "SIGINT"), (2, "SIGINT"), (2, "SIGKILL"), (0, "SIGTERM")])
def test_a_pytest_run_is_continued_by_zoo_run(tmp_path, scratch, pretending, capsys, workers, name):
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_gemma3.py").write_text(SUITE)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", str(workers), "-k", "test_it", "-p", "no:cacheprovider", f"--rootdir={project}"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT), "TMPDIR": os.fspath(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def run():
        return next((project / ".zoo" / "runs").glob("*/"), tmp_path)

    with process:
        until(lambda: hanging(run()), process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.Signals[name])
        told = process.stdout.read()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    until(lambda: not any(scratch.glob("pymp-*")))  # pytest's own directory stays
    done = configurations(run())
    assert set(FINISHED) <= done < set(CONFIGURATIONS)
    if name == "SIGINT":
        assert f"the rest: zoo run --resume {run()}" in told

    (run() / "go").touch()
    assert pretending("run", "--resume", run()) == 0
    assert f"{len(done)} of 4 cells done before" in capsys.readouterr().err
    assert configurations(run()) == set(CONFIGURATIONS)


def test_a_blocked_cell_is_tried_again(tmp_path, pretending, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(
            worker, "run_isolated", functools.partial(worker.run_isolated, target="tests.faults.attacks:has_no_space")
        )
        assert pretending("run", MODEL, "-c", "xnnpack-fp32", "--run", run) == 1
    assert [record.status for record in read(run / runs.RECORDS)] == ["blocked"]
    assert pretending("run", "--resume", run) == 0
    assert [record.status for record in read(run / runs.RECORDS)] == ["pass"]


def test_a_run_whose_disk_is_full_stops_and_says_what_to_do(tmp_path, pretending, capsys):
    run = tmp_path / "run"
    asked = [option for configuration in CONFIGURATIONS for option in ("-c", configuration)]

    def fill():
        until(lambda: (run / "cells" / f"{MODEL}@{FINISHED[1]}" / "verdict.json").is_file())
        (run / runs.RECORDS).rename(run / "kept")
        (run / runs.RECORDS).symlink_to("/dev/full")
        until(lambda: hanging(run))
        (run / "go").touch()

    threading.Thread(target=fill, daemon=True).start()
    assert pretending("run", MODEL, *asked, "-j", 1, "--run", run) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"no space is left for the run's directory {run}. What is finished is kept: free some" in told
    assert f"'zoo run --resume {run}', or start a run elsewhere with --run." in told
    assert {path.parent.name for path in run.glob("cells/*/verdict.json")} == {f"{MODEL}@{name}" for name in FINISHED}
    assert not list(run.rglob(".*-*"))

    (run / runs.RECORDS).unlink()
    assert pretending("run", "--resume", run) == 0
    assert configurations(run) == set(CONFIGURATIONS)


def test_a_command_that_finds_no_space_says_what_moves_its_files(pretending, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere/run.json")

    monkeypatch.setattr(runs, "start", full)
    assert pretending("run", MODEL, "-c", "xnnpack-fp32") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "No space left on device: 'somewhere/run.json'. Free some space there; ZOO_CACHE moves the caches" in told
