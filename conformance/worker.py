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
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

import filelock
import psutil
from pydantic import BaseModel, ValidationError

from conformance import container, files, processes, runs
from conformance import record as records
from conformance.errors import ConformanceError
from conformance.expectations import KnownFailure, apply
from conformance.matrix import Cell
from conformance.record import Failure, Record
from conformance.sessions.stderr import error_lines
from conformance.trail import MOVE, CellRequest, Trail, blank_record
from zoo import cache

RUN_CELL = "conformance.cell:run_cell"
PRELOAD = "conformance.preload"
POLL_SECONDS = 0.05
TREE_SECONDS = 1.0
"""How often it is looked for what a child has started; it takes 10 ms."""
LOG_BYTES = 16 << 20
"""Length at which a child's output is cut to its end."""
TAIL_BYTES = 1 << 20
"""What is kept then, and what is read of it."""
RECORD_BYTES = 64 << 20
"""What is read of a record; one of a real cell has a few tens of kB."""
LONGEST_TEMPORARY = 71
"""Bytes: a socket's path has 104 at most (macOS), and multiprocessing appends 32 and a zero."""
CUT = b"(what was said before was cut)\n"
_server = threading.Lock()
"""Held while multiprocessing starts, counts or collects children: two threads that collect one child lose its exit code."""


class InterruptedRunError(Exception):
    """The run was stopped while this cell was running; nothing is recorded of it."""


@dataclass(frozen=True)
class Limits:
    """What a cell may use."""

    seconds: float = 1800.0
    memory_bytes: int = 0
    """Resident memory of the cell and of what it starts; 0 for 80 % of the machine's, or of the container's."""

    @property
    def effective_memory_bytes(self) -> int:
        """``memory_bytes``, or its default."""
        return self.memory_bytes or int(0.8 * container.usable_bytes())

    def exceeded(self, seconds: float, used_bytes: int) -> tuple[Literal["timeout", "oom"], str, str] | None:
        """The limit that is exceeded, if any: status, kind and message."""
        if seconds > self.seconds:
            return "timeout", "TimeLimit", f"took longer than the {self.seconds:g} s allowed"
        allowed = self.effective_memory_bytes
        if used_bytes > allowed:
            return "oom", "MemoryLimit", f"used {used_bytes / 2**20:.0f} MiB, more than the {allowed / 2**20:.0f} MiB allowed"
        return None


def _context() -> Any:
    """multiprocessing, with a fork server.

    Raises:
        ConformanceError: the place of temporary files has no room for the name of a socket.
    """
    place = tempfile.gettempdir()
    if len(os.fsencode(place)) > LONGEST_TEMPORARY:
        raise ConformanceError(
            f"the path of the directory for temporary files is too long for the sockets in it: {place}. Set TMPDIR to one of "
            f"at most {LONGEST_TEMPORARY} bytes, such as /tmp."
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    return context


def _child(target: str, request: Any) -> None:
    """Run ``target`` (``module:function``) in the child and leave what it returns in the request's directory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to deal with
    processes.lead()
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _work(target, request, Path(request.directory))
    except OSError as error:
        if error.errno in cache.FULL:
            os._exit(error.errno)  # what else could say so has to be written, too
        raise


def _work(target: str, request: Any, directory: Path) -> None:
    for descriptor, name in ((1, "stdout.log"), (2, "stderr.log")):
        log = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        os.dup2(log, descriptor)
        os.close(log)
    scratch = (directory / "tmp").absolute()  # a child that is killed leaves its temporary files where they are found
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(scratch)
    module, function = target.split(":")
    result: BaseModel = getattr(importlib.import_module(module), function)(request)
    if isinstance(result, Record) and result.failure is not None and not result.failure.stderr:
        result.failure.stderr = _error_lines(directory)
    partial = directory / "record.partial"
    partial.write_text(result.model_dump_json(), encoding="utf-8")
    partial.replace(directory / "record.json")


def _die_with_the_parent() -> None:
    """Wait for the process that asked for this child, and go when it goes: limits are kept by nobody else."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    with contextlib.suppress(psutil.Error):
        handle = psutil.Process(parent.pid)
        wait([parent.sentinel])
        while processes.is_alive(handle):  # it was the child that closed this end of the pipe
            time.sleep(TREE_SECONDS)
    processes.end_tree(psutil.Process())


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
        found = _record(ended, f"{request.model}@{request.configuration}")
        if isinstance(found, Record):
            return found
        ended = Death("crash", "Record", found, [], Trail.read(Path(request.directory)))
    told = f"; {ended.stderr[-1]}" if ended.stderr and ended.status == "crash" else ""
    return blank_record(
        request.known,
        request,
        status=ended.status,
        reason=f"{ended.kind} at stage {ended.trail.current}: {ended.message}{told}",
        stages=ended.trail.stages,
        failure=Failure(stage=ended.trail.current, kind=ended.kind, message=ended.message, stderr=ended.stderr),
    )


def _record(text: str, cell: str) -> Record | str:
    """The record that a child left, or what is wrong with it."""
    try:
        found = Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        return f"what the process left is no record: {where}: {first['msg']}"
    return found if found.cell == cell else f"what the process left is the record of another cell, {found.cell}"


@dataclass(frozen=True)
class Death:
    """How a child ended that left nothing."""

    status: Literal["crash", "timeout", "oom", "blocked"]
    kind: str
    """The signal's name, or the limit."""
    message: str
    stderr: list[str]
    trail: Trail


@dataclass(frozen=True)
class _Started:
    """A child process."""

    process: Any
    """multiprocessing's."""
    handle: psutil.Process | None
    """``None`` if it had ended before it was looked at."""
    server: psutil.Process | None
    """Its fork server."""
    directory: Path
    below: set[psutil.Process] = field(default_factory=set)
    """What it has started, and what that has, as far as it was seen."""


def run_child(target: str, request: Any, *, limits: Limits | None = None, stop: threading.Event | None = None) -> str | Death:
    """Call a function in a child process. Never raises for what the child did. Of what the child has started nothing is left
    when this returns, nor any temporary file.

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
    for name in ("record.json", "record.partial", "stages.jsonl", "stdout.log", "stderr.log"):
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / "tmp", ignore_errors=True)
    child = _start(target, request, directory)
    try:
        ended = _watch(child, limits, stop)
    finally:
        exit_code = _collect(child)
        shutil.rmtree(directory / "tmp", ignore_errors=True)
    result = directory / "record.json"
    # Without the fork server nobody knows how a child ended: what it left whole counts.
    if ended is None and (exit_code == 0 or not _is_served(child)) and result.is_file():
        if result.stat().st_size <= RECORD_BYTES:
            return result.read_text(encoding="utf-8", errors="replace")
        return _death(directory, exit_code, ("crash", "Record", f"the process left more than {RECORD_BYTES} bytes of a record"))
    return _death(directory, exit_code, ended)


def _start(target: str, request: Any, directory: Path) -> _Started:
    """Start a child; with another fork server if the one that is there ends at this moment."""
    for attempt in range(3):
        with _server, contextlib.suppress(*((EOFError, ConnectionError) if attempt < 2 else ())):
            process = _context().Process(target=_child, args=(target, request), daemon=True)
            process.start()
            break
    handle = server = None
    with contextlib.suppress(psutil.Error):
        handle = psutil.Process(process.pid)
        server = handle.parent()
    return _Started(process, handle, server, directory)


def _is_served(child: _Started) -> bool:
    return child.server is not None and processes.is_alive(child.server)


Ended = tuple[Literal["timeout", "oom", "crash"], str, str]
"""Status, kind and message."""


def _watch(child: _Started, limits: Limits, stop: threading.Event | None) -> Ended | None:
    """Wait for a child; end it when it exceeds a limit, or when it is to stop.

    Returns:
        What it exceeded, if anything.
    """
    began = looked = time.monotonic()
    if child.handle is None:
        return None
    while not _has_ended(child):
        now = time.monotonic()
        if stop is not None and stop.is_set():
            return None
        if now > looked + TREE_SECONDS:
            looked = now
            child.below.update(processes.descendants(child.handle))
        exceeded = limits.exceeded(now - began, processes.resident_bytes(child.handle, child.below))
        if exceeded is not None:
            return exceeded
        _cut_output(child.directory)
    return None


def _has_ended(child: _Started) -> bool:
    """Wait a moment for a child to end. Its fork server tells so; when that was killed, the child is still at work."""
    if not wait([child.process.sentinel], timeout=POLL_SECONDS):
        return False
    if child.handle is not None and processes.is_alive(child.handle):
        time.sleep(POLL_SECONDS)
        return not processes.is_alive(child.handle)
    return True


def _collect(child: _Started) -> int | None:
    """End what is left of a child and of what it has started; returns its exit code."""
    if child.handle is not None:
        processes.end_tree(child.handle, child.below)
    wait([child.process.sentinel], timeout=processes.PATIENCE_SECONDS)
    with _server:
        child.process.join(0)
        processes.end(lambda: processes.strays(child.server))
    exit_code: int | None = child.process.exitcode
    return exit_code


def _cut_output(directory: Path) -> None:
    """Keep what a child prints from filling the disk."""
    for name in ("stdout.log", "stderr.log"):
        log = directory / name
        with contextlib.suppress(OSError):
            if log.stat().st_size > LOG_BYTES:
                end = _tail(log)
                os.truncate(log, 0)
                with log.open("ab") as file:
                    file.write(CUT + end)


def _tail(log: Path) -> bytes:
    """The end of what a child printed; nothing if there is nothing to read."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES)
    return b""


def _error_lines(directory: Path) -> list[str]:
    return error_lines(_tail(directory / "stderr.log").decode(errors="replace"))


def _death(directory: Path, exit_code: int | None, ended: Ended | None) -> Death:
    stderr = _error_lines(directory)
    trail = Trail.read(directory)
    if ended is not None:
        return Death(*ended, stderr, trail)
    if exit_code is not None and exit_code < 0:
        kind = _signal(-exit_code)
        who = " (not by this run; the system does so when memory runs out)" if kind == "SIGKILL" else ""
        return Death("crash", kind, f"the process was ended by {kind}{who}", stderr, trail)
    if exit_code in cache.FULL:
        why = f"the process could not write to the run's directory: {os.strerror(exit_code)}. {MOVE}"
        return Death("blocked", "Space", why, stderr, trail)
    return Death("crash", "Exit", f"the process exited with code {exit_code} and left no record", stderr, trail)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have no name
        return f"signal {number}"


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
        """The record of a cell, which is run if this run has not done so yet.

        Raises:
            InterruptedRunError: the run was stopped.
            ConformanceError: the run's directory takes no more.
        """
        try:
            return self._record(cell, known)
        except OSError as error:
            if cache.is_full(error):
                raise ConformanceError(
                    f"no space is left for the run's directory {self.directory}. What is finished is kept: free some and "
                    f"continue with 'zoo run --resume {self.directory}', or start a run elsewhere with --run."
                ) from error
            raise

    def _record(self, cell: Cell, known: tuple[KnownFailure, ...]) -> Record:
        place = self.directory / "cells" / cell.name
        place.mkdir(parents=True, exist_ok=True)
        verdict = place / "verdict.json"
        with filelock.FileLock(place / "lock"):
            if verdict.is_file():
                return runs.read_verdict(verdict)
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
            files.replace(verdict, found.model_dump_json())
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
