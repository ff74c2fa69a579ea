"""Programs in the ExecuTorch runtime: files that are checked before they are opened, and calls that never end the process
silently."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from conformance.sessions.protocol import SessionError
from conformance.sessions.stderr import CapturedStderr, error_lines
from exporters.artifact import (
    ACCOUNT,
    HEADER_BYTES,
    Account,
    Artifact,
    ProgramFile,
    check_program,
    program_parts,
)
from exporters.errors import ExportError

_MAGIC = b"ET12"


def check_file(path: Path, expected: ProgramFile | None = None, *, probe: bool = True) -> None:
    """Refuse a file that the runtime would answer wrongly or die of.

    Against an account the checksum decides. Without one the file is opened in a process of its own first, because the
    runtime aborts on most damaged programs (executorch 1.4.1, at either verification level).

    Args:
        path: The ``.pte``.
        expected: Its size and checksum.
        probe: Open it in a process of its own; not where this one is already.

    Raises:
        SessionError: the file is missing, damaged, or no program at all.
    """
    if expected is not None:
        try:
            check_program(path, expected)
        except ExportError as error:
            raise SessionError(str(error)) from error
        return
    if not path.is_file():
        raise SessionError(f"{path} does not exist. 'zoo export' makes a .pte.")
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[4:8] != _MAGIC:
        raise SessionError(f"{path} is no ExecuTorch program: it does not begin like one. Export it again with 'zoo export'.")
    needed = program_parts(head).total
    if path.stat().st_size < needed:
        raise SessionError(f"{path} has {path.stat().st_size} bytes of the {needed} it states: it was truncated.")
    if probe:
        stat = path.stat()
        _probe(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=64)
def _probe(path: Path, modified: int, size: int) -> None:
    """Open a file in a process of its own; once, as long as it is not modified."""
    done = subprocess.run(
        [sys.executable, "-m", "conformance.sessions.probe", os.fspath(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=600,
        check=False,
    )
    if done.returncode:
        died = f"the runtime died of it (signal {-done.returncode})" if done.returncode < 0 else "the runtime refuses it"
        reason = "; ".join(error_lines(done.stderr.decode(errors="replace"))[-2:])
        raise SessionError(f"{path} cannot be opened: {died}. {reason}")


def set_threads(threads: int) -> None:
    """Load the runtime with its custom and quantized kernels, and give its pool ``threads`` threads.

    Without these imports ``load_method`` misses operators (0x14); executorch 1.4.1.
    """
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count, _unsafe_reset_threadpool

    if _threadpool_get_thread_count() != threads:
        _unsafe_reset_threadpool(threads)


class Program:
    """A ``.pte`` whose entry points are loaded.

    Args:
        path: The ``.pte``.
        expected: Its size and checksum; read from an ``export.json`` beside it if there is one.
        threads: Threads of the runtime's pool, which the whole process shares.
        verify: Check the file first. Only for a file that was checked just before, where loading is timed.

    Raises:
        SessionError: the file is missing or damaged, or it lacks an entry point.
    """

    entry_points: tuple[str, ...] = ("forward",)
    """The methods that a subclass calls."""
    told: Mapping[str, Any] = MappingProxyType({})
    """What stands in for constant methods that the program does not have."""

    def __init__(
        self, path: str | os.PathLike[str], *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> None:
        self.path = Path(path)
        if expected is None and (account := account_beside(self.path)) is not None:
            expected = account.file
        if verify:
            check_file(self.path, expected)
        self._stderr = CapturedStderr()
        with self._stderr:
            set_threads(threads)
        began = time.perf_counter()
        self._program: Any = self._open()
        self._own = frozenset(self._program.method_names)
        self.methods: frozenset[str] = self._own | self.told.keys()
        absent = [name for name in self.entry_points if name not in self.methods]
        if absent:
            raise SessionError(f"{self.path} has no method {absent[0]!r}; it has {', '.join(sorted(self.methods))}.")
        self._loaded: dict[str, Any] = {}
        self._others: list[Any] = []
        for name in self.entry_points:
            self.load(name)
        self.load_seconds = time.perf_counter() - began

    def load(self, method: str) -> None:
        """Load a further entry point.

        Raises:
            SessionError: the runtime refuses it.
        """
        program = self._program
        if self._loaded:
            # The methods of one program share their memory in Python (executorch 1.4.1): a call of an encoder leaves numbers
            # in the decoder's KV cache, and a masked slot that holds no number makes the answer none. Each is opened by itself.
            program = self._open()
            self._others.append(program)
        self._loaded[method] = self._guard("load", lambda: program.load_method(method))

    def _open(self) -> Any:
        from executorch.runtime import Runtime, Verification

        return self._guard("open", lambda: Runtime.get().load_program(self.path, verification=Verification.InternalConsistency))

    def constant(self, name: str, default: Any = None) -> Any:
        """The value of a constant method; a list if it has several.

        Raises:
            SessionError: the program has no such method and there is no default.
        """
        if name in self.told and name not in self._own:
            return self.told[name]
        if name not in self.methods:
            if default is None:
                raise SessionError(f"{self.path} has no constant method {name!r}, which its use needs.")
            return default
        values = self._guard(name, lambda: self._program.load_method(name).execute([]))
        return values[0] if len(values) == 1 and name != "get_eos_ids" else list(values)

    def method_meta(self, method: str = "forward") -> Any:
        """ExecuTorch's ``MethodMeta`` of an entry point."""
        return self._loaded[method].metadata

    def run(self, method: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of an entry point, in memory that its next call overwrites.

        Raises:
            SessionError: the runtime refuses the call; its reason is in the message.
        """
        outputs: list[Tensor] = self._guard(method, lambda: self._loaded[method].execute(list(inputs)))
        return tuple(outputs)

    def _guard(self, action: str, call: Any) -> Any:
        try:
            with self._stderr:
                return call()
        except RuntimeError as error:
            reason = "; ".join(self._stderr.take()[-3:])
            raise SessionError(f"{self.path}: {action} failed: {error}. {reason}".rstrip(". ") + ".") from error


def methods_of(path: Path) -> frozenset[str]:
    """The names of all methods of a program, constant ones included.

    Raises:
        SessionError: the program is missing or damaged.
    """
    return opened(path).methods


def opened(path: Path) -> Program:
    """A program of which no method is loaded yet.

    Raises:
        SessionError: the program is missing or damaged.
    """

    class Opened(Program):
        entry_points = ()

    return Opened(path)


def account_beside(path: Path) -> Account | None:
    """The account of how a program was made, from the ``export.json`` beside it; ``None`` if there is none, another file's, or
    another exporter's: transformers 5.23.0 calls its metadata so, too.

    Raises:
        SessionError: it cannot be read.
    """
    if not (path.parent / ACCOUNT).is_file():
        return None
    with contextlib.suppress(OSError, ValueError):
        told = json.loads((path.parent / ACCOUNT).read_text(encoding="utf-8"))
        if isinstance(told, dict) and "configuration" not in told and "components" in told:
            return None
    try:
        account = Artifact.load(path.parent).account
    except ExportError as error:
        raise SessionError(str(error)) from error
    return account if account.file.name == path.name else None
