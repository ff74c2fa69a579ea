"""Programs in the ExecuTorch runtime: files that are checked before they are opened, and calls that never end the process
silently."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import torch
from torch import Tensor

from conformance import isolation, processes
from conformance.sessions.protocol import SessionError
from conformance.sessions.stderr import CapturedStderr, error_lines
from conformance.worker import POLL_SECONDS, Limits
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
DAMAGED = "It is damaged, or of another kind; 'zoo inspect' shows what is in it."
DTYPES = {5: torch.float16, 6: torch.float32, 15: torch.bfloat16}
"""ExecuTorch's ``ScalarType`` numbers."""
PROBE_LIMITS = Limits(seconds=600)
"""Of the process that opens a file first."""


def check_file(path: Path, expected: ProgramFile | None = None, *, probe: bool = True) -> None:
    """Refuse a file that the runtime would answer wrongly or die of.

    Against an account the checksum decides. Without one the file is opened in a process of its own first, because the
    runtime aborts on most damaged programs (executorch 1.4.1, at either verification level).

    Args:
        path: The ``.pte``.
        expected: Its size and checksum.
        probe: Open it in a process of its own first; not where this one is such a process.

    Raises:
        SessionError: the file is missing, damaged, or no program at all.
    """
    if expected is not None:
        try:
            check_program(path, expected)
        except ExportError as error:
            raise SessionError(f"{error}{_if_renamed(path, expected)}") from error
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
    if probe and not isolation.expendable():
        stat = path.stat()
        _probe(path, stat.st_mtime_ns, stat.st_size)


def _if_renamed(path: Path, expected: ProgramFile) -> str:
    """What is to be added where an account speaks of a file that is not there."""
    if expected.name == path.name:
        return ""
    return f" The {ACCOUNT} beside it speaks of {expected.name}, which is not there; move another program elsewhere."


@functools.lru_cache(maxsize=64)
def _probe(path: Path, modified: int, size: int) -> None:
    """Open a file in a process of its own; once, as long as it is not modified."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "conformance.sessions.probe", os.fspath(path)], stdout=subprocess.DEVNULL, stderr=said
        )
        limit = _within(PROBE_LIMITS, child)
        said.seek(0)
        lines = error_lines(said.read().decode(errors="replace"))[-2:]
    if child.returncode:
        died = f"the runtime died of it (signal {-child.returncode})" if child.returncode < 0 else "the runtime refuses it"
        ended = f"opening it {limit}" if limit is not None else died
        raise SessionError(f"{path} cannot be opened: {ended}. {'; '.join(lines)}".rstrip())


def _within(limits: Limits, child: subprocess.Popen[bytes]) -> str | None:
    """Wait for a process and end it at its limits; the one that it exceeded."""
    began = time.monotonic()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_SECONDS)
                return None
            exceeded = limits.exceeded(time.monotonic() - began, processes.own_bytes(psutil.Process(child.pid)))
            if exceeded is not None:
                return exceeded[-1]
    finally:
        child.kill()
        child.wait()


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
        self._own: frozenset[str] = self._guard("reading its methods", lambda: frozenset(self._program.method_names))
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

    def integer(self, name: str, default: int | None = None) -> int:
        """The value of a constant method that is a whole number.

        Raises:
            SessionError: it is none; or as ``constant``.
        """
        value = self.constant(name, default)
        if not isinstance(value, (int, float)) or not float(value).is_integer():
            raise SessionError(f"{self.path}: {name} is {value!r}, and its use needs a whole number. {DAMAGED}")
        return int(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """The values of a constant method that are whole numbers.

        Raises:
            SessionError: they are none; or as ``constant``.
        """
        value = self.constant(name)
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, int) for each in values):
            raise SessionError(f"{self.path}: {name} is {value!r}, and its use needs whole numbers. {DAMAGED}")
        return tuple(values)

    def float_dtype(self) -> torch.dtype:
        """The type of the numbers with a fraction that it takes.

        Raises:
            SessionError: it states another one.
        """
        number = self.integer("get_dtype", 6)
        if number not in DTYPES:
            known = ", ".join(map(str, DTYPES))
            raise SessionError(f"{self.path}: get_dtype is {number}, and those known are {known}. {DAMAGED}")
        return DTYPES[number]

    def input_sizes(self, method: str = "forward") -> list[tuple[int, ...]]:
        """The largest sizes of what an entry point takes, which are tensors, one at least.

        Raises:
            SessionError: it takes nothing or something else.
        """
        meta = self.method_meta(method)
        return self._sizes_of(method, meta.num_inputs(), meta.input_tensor_meta)

    def output_sizes(self, method: str = "forward") -> list[tuple[int, ...]]:
        """As ``input_sizes``, of what it answers."""
        meta = self.method_meta(method)
        return self._sizes_of(method, meta.num_outputs(), meta.output_tensor_meta)

    def _sizes_of(self, method: str, count: int, meta: Any) -> list[tuple[int, ...]]:
        sizes = self._guard(method, lambda: [tuple(meta(index).sizes()) for index in range(count)])
        if not sizes:
            raise SessionError(f"{self.path}: {method} takes or answers nothing. {DAMAGED}")
        return list(sizes)

    def method_meta(self, method: str = "forward") -> Any:
        """ExecuTorch's ``MethodMeta`` of an entry point."""
        return self._loaded[method].metadata

    def run(self, method: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of an entry point, in memory that its next call overwrites.

        Raises:
            SessionError: the runtime refuses the call; its reason is in the message.
        """
        outputs: list[Tensor] = self._guard(method, lambda: self._loaded[method].execute(list(inputs)))
        if not outputs or not all(isinstance(each, Tensor) for each in outputs):
            kinds = ", ".join(type(each).__name__ for each in outputs) or "nothing"
            raise SessionError(f"{self.path}: {method} answers {kinds} where tensors are meant to be. {DAMAGED}")
        return tuple(outputs)

    def _guard(self, action: str, call: Any) -> Any:
        try:
            with self._stderr:
                return call()
        except (RuntimeError, ValueError, IndexError, TypeError, MemoryError) as error:  # what pybind11 makes of C++'s
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

    One that names a file which is not there is this one's: either of them was renamed, and the checksum tells.

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
    another = account.file.name != path.name and (path.parent / Path(account.file.name).name).is_file()
    return None if another else account
