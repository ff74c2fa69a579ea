"""Captures what native code writes to stderr: ExecuTorch's errors carry a code, the reason is printed there only."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO

_NOTES = ("cpuinfo_utils", "threadpool.cpp")
"""Where the runtime says what is neither wrong nor new."""
_outliving: IO[bytes] | None = None


def keep_in(file: IO[bytes]) -> None:
    """Have whatever is captured from now on in a file that another process has open, too, and reads if this one dies."""
    global _outliving
    _outliving = file


class CapturedStderr:
    """A context that redirects file descriptor 2 to a file while it is entered. It can be entered again and again."""

    def __init__(self) -> None:
        # It lives as long as this object.
        self._file = _outliving or tempfile.TemporaryFile()  # noqa: SIM115
        self._saved = -1

    def __enter__(self) -> CapturedStderr:
        self._saved = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)

    def take(self) -> list[str]:
        """The runtime's error lines since the last call, without its notes about the processor."""
        self._file.seek(0)
        text = self._file.read().decode(errors="replace")
        self._file.seek(0)
        self._file.truncate()
        return error_lines(text)


def error_lines(text: str) -> list[str]:
    """The lines of a captured stderr that say what went wrong: ExecuTorch marks errors with E and aborts with F; where it
    said nothing, the last lines of whatever was written."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not any(name in line for name in _NOTES)]
    marked = [line for line in lines if line.startswith(("E ", "F ")) and "No temp allocator provided" not in line]
    return (marked or lines)[-20:]
