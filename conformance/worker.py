"""One child process a cell: limits, breadcrumbs, and whatever happens becomes a record.

The runtime can abort a process, lowering can eat all memory, a kernel can hang. So each cell runs in a child of a fork
server that has the stack imported. The parent watches the child's memory and time, and turns its death into a status.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

import filelock
import psutil
from pydantic import BaseModel

from conformance import record as records
from conformance.expectations import KnownFailure, apply
from conformance.matrix import Cell
from conformance.record import Failure, Record
from conformance.sessions.stderr import error_lines
from conformance.trail import CellRequest, Trail, blank_record

RUN_CELL = "conformance.cell:run_cell"
POLL_SECONDS = 0.05
Excess = tuple[Literal["timeout", "oom"], str]
_server = threading.Lock()


class InterruptedRunError(Exception):
    """The run was stopped while this cell was running; nothing is recorded of it."""


@dataclass(frozen=True)
class Limits:
    """What a cell may use."""

    seconds: float = 1800.0
    memory_bytes: int = 0
    """Resident memory; 0 for 80 % of the machine's."""

    @property
    def effective_memory_bytes(self) -> int:
        """``memory_bytes``, or its default."""
        return self.memory_bytes or int(0.8 * psutil.virtual_memory().total)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["conformance.preload"])
    return context


def _child(target: str, request: Any) -> None:
    """Run ``target`` (``module:function``) in the child and leave what it returns in the request's directory."""
    directory = Path(request.directory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to deal with
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for descriptor, name in ((1, "stdout.log"), (2, "stderr.log")):
        log = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, descriptor)
        os.close(log)
    module, function = target.split(":")
    result: BaseModel = getattr(importlib.import_module(module), function)(request)
    if isinstance(result, Record) and result.failure is not None and not result.failure.stderr:
        result.failure.stderr = error_lines((directory / "stderr.log").read_text(errors="replace"))
    partial = directory / "record.partial"
    partial.write_text(result.model_dump_json(), encoding="utf-8")
    partial.replace(directory / "record.json")


def _die_with_the_parent() -> None:
    """Wait for the process that asked for this child, and go when it goes: limits are kept by nobody else."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def run_isolated(
    request: CellRequest, *, limits: Limits | None = None, target: str = RUN_CELL, stop: threading.Event | None = None
) -> Record:
    """Run one cell in a child process and return what became of it. Never raises for what the child did.

    Args:
        request: The cell; its directory is made.
        limits: Time and memory.
        target: What the child calls with the request: ``module:function`` returning a ``Record``.
        stop: Set by another thread to end the child.
    """
    ended = run_child(target, request, limits=limits, stop=stop)
    if isinstance(ended, str):
        return Record.model_validate_json(ended)
    told = f"; {ended.stderr[-1]}" if ended.stderr and ended.status == "crash" else ""
    return blank_record(
        request.known,
        request,
        status=ended.status,
        reason=f"{ended.kind} at stage {ended.trail.current}: {ended.message}{told}",
        stages=ended.trail.stages,
        failure=Failure(stage=ended.trail.current, kind=ended.kind, message=ended.message, stderr=ended.stderr),
    )


@dataclass(frozen=True)
class Death:
    """How a child ended that left nothing."""

    status: Literal["crash", "timeout", "oom"]
    kind: str
    """The signal's name, or the limit."""
    message: str
    stderr: list[str]
    trail: Trail


def run_child(target: str, request: Any, *, limits: Limits | None = None, stop: threading.Event | None = None) -> str | Death:
    """Call a function in a child process. Never raises for what the child did.

    Args:
        target: ``module:function``, returning a pydantic model.
        request: What it is called with; ``directory``, where the child leaves its breadcrumbs and its output, is made.
        limits: Time and memory.
        stop: Set by another thread to end the child.

    Returns:
        What the function returned, as JSON.
    """
    limits = limits or Limits()
    directory = Path(request.directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("record.json", "stages.jsonl", "stdout.log", "stderr.log"):
        (directory / name).unlink(missing_ok=True)
    with _server:
        process = _context().Process(target=_child, args=(target, request), daemon=True)
        process.start()
    try:
        ended = _watch(process, limits, stop)
    except BaseException:
        process.kill()
        raise
    finally:
        process.join()
    result = directory / "record.json"
    if ended is None and process.exitcode == 0 and result.is_file():
        return result.read_text(encoding="utf-8")
    return _death(directory, process.exitcode, ended)


def excess(handle: psutil.Process, limits: Limits, deadline: float, *, mapped: bool = True) -> Excess | None:
    """The limit that a process exceeds, if any: status and message.

    Args:
        handle: The process.
        limits: What it may use.
        deadline: When its time is over, on the monotonic clock.
        mapped: Whether files that it has mapped count as its memory.
    """
    if time.monotonic() > deadline:
        return "timeout", f"took longer than the {limits.seconds:g} s allowed"
    allowed = limits.effective_memory_bytes
    with contextlib.suppress(psutil.Error):
        info = handle.memory_info()
        used = info.rss - (0 if mapped else getattr(info, "shared", 0))
        if used > allowed:
            return "oom", f"used {used / 2**20:.0f} MiB, more than the {allowed / 2**20:.0f} MiB allowed"
    return None


def _watch(process: Any, limits: Limits, stop: threading.Event | None) -> Excess | None:
    """Wait for a child; end it when it exceeds a limit, or when it is to stop.

    Returns:
        Status and message of the limit it exceeded, if any.
    """
    deadline = time.monotonic() + limits.seconds
    ended: Excess | None = None
    try:
        handle = psutil.Process(process.pid)
    except psutil.NoSuchProcess:
        return None
    while not wait([process.sentinel], timeout=POLL_SECONDS):
        ended = ended or excess(handle, limits, deadline)
        if ended is not None or (stop is not None and stop.is_set()):
            process.kill()
    return ended


def _death(directory: Path, exit_code: int | None, ended: tuple[Literal["timeout", "oom"], str] | None) -> Death:
    log = directory / "stderr.log"
    stderr = error_lines(log.read_text(errors="replace")) if log.is_file() else []
    trail = Trail.read(directory)
    if ended is not None:
        status, message = ended
        return Death(status, "TimeLimit" if status == "timeout" else "MemoryLimit", message, stderr, trail)
    if exit_code is not None and exit_code < 0:
        kind = signal.Signals(-exit_code).name
        return Death("crash", kind, f"the process was ended by {kind}", stderr, trail)
    return Death("crash", "Exit", f"the process exited with code {exit_code} and left no record", stderr, trail)


class Runner:
    """Runs cells, each once a run, and keeps their records.

    Several processes may share a run's directory (pytest-xdist's workers do): whoever comes first runs a cell, the others
    wait for its record.

    Args:
        directory: The run's directory; ``records.jsonl`` in it collects the records.
        options: What every cell of the run is told (``scale``, ``threads``, ``max_seq_len``).
        limits: Time and memory a cell may use.
    """

    def __init__(self, directory: Path, *, options: dict[str, Any] | None = None, limits: Limits | None = None) -> None:
        self.directory = directory
        self.records = directory / "records.jsonl"
        self.options = options or {}
        self.limits = limits or Limits()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the cells that are running, without records, and start no other."""
        self._stopped.set()

    def record(self, cell: Cell, known: tuple[KnownFailure, ...] = ()) -> Record:
        """The record of a cell, which is run if this run has not done so yet."""
        place = self.directory / "cells" / cell.name
        place.mkdir(parents=True, exist_ok=True)
        verdict = place / "verdict.json"
        with filelock.FileLock(place / "lock"):
            if verdict.is_file():
                return Record.model_validate_json(verdict.read_text(encoding="utf-8"))
            request = CellRequest(cell.model.name, cell.configuration, os.fspath(place), row=cell.model, **self.options)
            if self._stopped.is_set():
                raise InterruptedRunError(cell.name)
            if cell.inapplicable is not None:
                ran = blank_record(cell.model, request, status="not_applicable", reason=cell.inapplicable)
            else:
                ran = run_isolated(request, limits=self.limits, stop=self._stopped)
            if self._stopped.is_set():
                raise InterruptedRunError(cell.name)
            found = apply(ran, known)
            records.append(self.records, found)
            partial = place / "verdict.partial"
            partial.write_text(found.model_dump_json(), encoding="utf-8")
            partial.replace(verdict)
            return found

    def stage(self, cell: Cell) -> str | None:
        """The stage a running cell is at; ``None`` if it has not begun."""
        place = self.directory / "cells" / cell.name
        return Trail.read(place).current if (place / "stages.jsonl").is_file() else None


def new_run(base: Path, name: str | None = None) -> Path:
    """A directory for a run under ``base``. Of the runs of earlier days the ten latest are kept."""
    runs = base / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    if name is None:
        directory = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))
    else:
        directory = runs / name
        directory.mkdir(exist_ok=True)
    older = sorted((path for path in runs.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    yesterday = time.time() - 24 * 3600
    for path in (path for path in older[:-10] if path.stat().st_mtime < yesterday):
        shutil.rmtree(path, ignore_errors=True)
    return directory


__all__ = ["Death", "InterruptedRunError", "Limits", "Runner", "new_run", "run_child", "run_isolated"]
