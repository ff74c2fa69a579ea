"""Writing files so that they are there whole or not at all, also when the disk is full or the process is killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path


def replace(path: Path, content: str | bytes) -> None:
    """Write a file, in one step for whoever reads it. It keeps its permissions."""
    mode = path.stat().st_mode if path.exists() else 0o644
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        Path(partial).chmod(mode)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file of JSON Lines that several processes add to: all of it, or nothing. Half a line at the end, which a
    process left that was killed, is removed."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor).st_size
        whole = _end_of_last_line(descriptor, before)
        added = f"{line}\n".encode()
        if _is_json(os.pread(descriptor, before - whole, whole)):
            whole, added = before, b"\n" + added  # only the end of that line is missing
        if whole < before:
            os.ftruncate(descriptor, whole)
        try:
            left = memoryview(added)
            while left:
                left = left[os.write(descriptor, left) :]
        except BaseException:
            with contextlib.suppress(OSError):  # what is no file cannot be cut
                os.ftruncate(descriptor, whole)
            raise
    finally:
        os.close(descriptor)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _end_of_last_line(descriptor: int, end: int) -> int:
    """Where the last line that is whole ends, in bytes, of a file of ``end`` bytes."""
    while end:
        begin = max(0, end - 65536)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


__all__ = ["append_line", "replace"]
