"""Writing files that belong together: all of them are there at the end, or none."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.errors import ExportError


@contextlib.contextmanager
def together(target: Path) -> Iterator[Path]:
    """A directory for files that are moved to ``target`` at the end, where they replace those of the same names. If anything
    is raised they go, and ``target`` is as it was.

    Raises:
        ExportError: ``target`` cannot be made or written.
    """
    with naming(target):
        target.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".partial-", dir=target)
    with scratch as name:
        yield Path(name)
        with naming(target):
            for path in sorted(Path(name).iterdir()):
                path.replace(target / path.name)


@contextlib.contextmanager
def naming(target: Path, instead: str = "Name a directory that can be written and has space.") -> Iterator[None]:
    """Say of an error while something is written where that was to be: what the system says of a full disk may not.

    Args:
        target: Where.
        instead: What to do about it.

    Raises:
        ExportError: instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"cannot write to {target}: {reason}. {instead}") from error


@contextlib.contextmanager
def for_native_code(path: Path) -> Iterator[io.FileIO]:
    """A new file for native code that an error would end, and the process with it: torch's writer of archives aborts on a full
    disk. The first error is raised when that code is done.

    Raises:
        OSError: the file could not be written.
    """
    with _Patient(path, "w") as file:
        yield file
        if file.error is not None:
            raise file.error


class _Patient(io.FileIO):
    """A file that keeps its first error to itself, and takes nothing more."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            left = memoryview(data).cast("B") if self.error is None else b""
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(data)


__all__ = ["for_native_code", "naming", "together"]
