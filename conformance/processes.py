"""Process trees: what a cell's child starts is counted with it, and ends with it.

A cell's child leads a session of its own and adopts what its descendants leave behind; what it leaves behind itself, the fork
server adopts (Linux). So nothing that came from a cell is out of sight, whatever it forks, and the last one ends the rest: the
parent when a cell has ended, the child when the parent has died, the fork server when both have.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil

PATIENCE_SECONDS = 10.0
"""How long to wait for processes that were killed. Longer takes only what the kernel itself does not let go of."""
_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of linux/prctl.h."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends. Only Linux can; elsewhere they go to the first process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lead() -> None:
    """In a child of the fork server: lead a session, so that a signal to a group reaches this tree and no other, adopt orphans,
    and be what the system ends first when memory runs out."""
    os.setsid()
    adopt_orphans()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    # The fork server ends when nobody holds the other end of this pipe: neither a child that hangs, nor what it has forked,
    # must keep it. CPython has no public name for it.
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def serve() -> None:
    """In the fork server: adopt orphans, and when the process that it works for is gone, however, end what is left of it."""
    adopt_orphans()
    atexit.register(_last_one_out, os.getpid())


def _last_one_out(server: int) -> None:
    """End all that came from this fork server, and remove its socket: a parent that was killed has not done so."""
    if os.getpid() != server:
        return
    end(lambda: psutil.Process().children(recursive=True))
    own: Any = forkserver._forkserver
    address = own._forkserver_address
    if isinstance(address, str) and Path(address).parent.name.startswith("pymp-"):
        shutil.rmtree(Path(address).parent, ignore_errors=True)
    os._exit(0)  # taking torch apart takes seconds


def own_bytes(process: psutil.Process) -> int:
    """Resident memory without files that are mapped, as a program of many gigabytes may be; 0 of a process that has ended."""
    with contextlib.suppress(psutil.Error):
        found = process.memory_info()
        return int(found.rss - getattr(found, "shared", 0))
    return 0


def descendants(process: psutil.Process) -> set[psutil.Process]:
    """The processes below one; none if it has ended."""
    with contextlib.suppress(psutil.Error):
        return set(process.children(recursive=True))
    return set()


def strays(server: psutil.Process | None) -> set[psutil.Process]:
    """What the children that have ended left to their fork server. Those that are still at work are multiprocessing's."""
    if server is None:
        return set()
    working = {child.pid for child in multiprocessing.active_children()}
    try:
        left = {child for child in server.children() if child.pid not in working}
    except psutil.Error:
        return set()
    return left.union(*map(descendants, left))


def end_tree(process: psutil.Process, known: Iterable[psutil.Process] = ()) -> None:
    """Kill a process that leads a session, its group, what is below it, and what was ``known`` to be."""
    below = descendants(process) | set(known)
    kill(below)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    kill([process])


def end(find: Callable[[], set[psutil.Process]]) -> None:
    """Kill what ``find`` finds until it finds nothing, for they may fork meanwhile."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := {process for process in find() if is_alive(process)}) and time.monotonic() < until:
        kill(found)
        time.sleep(0.01)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL; to none that has taken the number of one that has ended."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def resident_bytes(process: psutil.Process, below: Iterable[psutil.Process]) -> int:
    """Resident memory of a process and those below it, in bytes; pages that these share with others count in part (Linux) or
    not at all."""
    total = 0
    with contextlib.suppress(psutil.Error):
        total = process.memory_info().rss
    for each in below:
        with contextlib.suppress(psutil.Error):
            found = each.memory_full_info()
            total += getattr(found, "pss", found.uss)
    return total


__all__ = [
    "descendants",
    "end",
    "end_tree",
    "is_alive",
    "kill",
    "lead",
    "own_bytes",
    "resident_bytes",
    "serve",
    "strays",
]
