"""A command that runs a program runs it in a child: the runtime may end the process that has a damaged file open.

``apart`` divides the process of a command in two. The child goes on with the command, at the same terminal or pipes, and may
die. The parent waits, keeps the limits, and turns whatever happened into an exit code or one line.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import IO, Any, NoReturn

import psutil

from conformance import processes
from conformance.sessions import stderr
from conformance.sessions.protocol import SessionError
from conformance.worker import POLL_SECONDS, Limits

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS)
"""Signals that a process is ended by for what it did."""
PATIENCE_SECONDS = 1.0
"""How long an interrupt may go unanswered before the next one ends the child: native code does not look for it."""
_divisible = False
_expendable = False


def allow() -> None:
    """Say that this process is a command's and nobody else's; any other is left whole."""
    global _divisible
    _divisible = True


def expendable() -> bool:
    """Whether this process is a child that ``apart`` made: another one outlives it."""
    return _expendable


def apart(program: str | os.PathLike[str], limits: Limits) -> None:
    """Go on in a child process; nothing where ``allow`` was not called. The parent never returns.

    It is to be called before anything starts a thread, hence before torch is imported.

    Args:
        program: What the child will run, for messages.
        limits: Time and memory of the child.

    Raises:
        SystemExit: in the parent: the child has ended, with this code.
        SessionError: in the parent: the child was ended by a signal or a limit.
    """
    if not _divisible:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    told: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - both processes have it until they end
    ours, theirs = socket.socketpair()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until each of the two knows what to do with it
    child = os.fork()
    if child == 0:
        ours.close()
        _become_expendable(theirs, told)
        return
    theirs.close()
    _outlive(child, ours, os.fspath(program), limits, told)


def _become_expendable(parent: socket.socket, told: IO[bytes]) -> None:
    global _divisible, _expendable
    _divisible, _expendable = False, True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    stderr.keep_in(told)

    def interrupt(number: int, frame: Any) -> None:
        with contextlib.suppress(OSError):
            parent.send(b".")  # it was noticed
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()  # an interrupt is not this thread's
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _end_with(parent: socket.socket) -> None:
    """Wait for the parent, and go when it goes, however it went."""
    with contextlib.suppress(OSError):
        parent.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


class _Interrupts:
    """Ctrl-C while a child is running: the child's to deal with, as long as it does."""

    def __init__(self, child: int) -> None:
        self.child = child
        self.forced = False
        """Whether the child had to be killed."""
        self._asked = self._answered = float("-inf")
        self._told = False

    def __call__(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self._waited(now) and now - self._asked > PATIENCE_SECONDS:
            self.forced = True
            os.kill(self.child, signal.SIGKILL)
            return
        if not _at_terminal():
            os.kill(self.child, number)  # a terminal tells both, whoever else does, this process only
        if now - self._answered > PATIENCE_SECONDS / 10 and not self._waited(now):
            self._asked, self._told = now, False

    def answered(self) -> None:
        """The child has noticed."""
        self._answered = time.monotonic()

    def hint(self) -> None:
        """Say how to end a child that does not notice."""
        now = time.monotonic()
        if self._waited(now) and not self._told and now - self._asked > PATIENCE_SECONDS:
            self._told = True
            print("the program is busy; Ctrl-C again ends it.", file=sys.stderr)

    def _waited(self, now: float) -> bool:
        return self._answered < self._asked <= now


def _at_terminal() -> bool:
    """Whether this process is in the foreground of a terminal, which interrupts all that are."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _outlive(child: int, channel: socket.socket, program: str, limits: Limits, told: IO[bytes]) -> NoReturn:
    """Wait for the child and end as it did."""
    interrupts = _Interrupts(child)
    signal.signal(signal.SIGINT, interrupts)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    limit = _watch(child, channel, limits, interrupts)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if code >= 0:
        raise SystemExit(code)
    if interrupts.forced:
        raise SystemExit(128 + signal.SIGINT)
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # a spinner hides the cursor, and an answer may have begun
    told.seek(0)
    raise SessionError(_obituary(program, -code, limit, stderr.error_lines(told.read().decode(errors="replace"))))


def _watch(child: int, channel: socket.socket, limits: Limits, interrupts: _Interrupts) -> str | None:
    """Keep a child's limits until it ends.

    Returns:
        The limit that it exceeded, if any.
    """
    began = time.monotonic()
    handle = psutil.Process(child)
    while True:
        if select.select([channel], [], [], POLL_SECONDS)[0]:
            if not channel.recv(64):
                return None
            interrupts.answered()
        interrupts.hint()
        exceeded = limits.exceeded(time.monotonic() - began, processes.own_bytes(handle))
        if exceeded is not None:
            os.kill(child, signal.SIGKILL)
            return exceeded[-1]


def _obituary(program: str, number: int, limit: str | None, lines: list[str]) -> str:
    """What became of a child that was ended by a signal, as one line."""
    reads = f"'zoo inspect {program}' reads it without running it; 'zoo export' makes a new one."
    if limit is not None:
        return f"{program}: the process that ran it was ended: it {limit}. --timeout and --memory set the limits; {reads}"
    name = signal.Signals(number).name
    if number in CRASHES:
        said = f" ({lines[-1]})" if lines else ""
        return f"{program}: the runtime died of {name}{said}. The file is damaged, or the runtime fails on it; {reads}"
    memory = " The machine may have run out of memory; --memory sets a limit." if number == signal.SIGKILL else ""
    return f"{program}: the process that ran it was ended from outside by {name}.{memory}"


__all__ = ["allow", "apart", "expendable"]
