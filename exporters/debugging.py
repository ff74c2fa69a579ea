"""What helps to debug a program: its operators in and outside of delegates, its ETRecord, its planned memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.artifact import Delegation
from exporters.errors import ExportError

ETRECORD = "etrecord.bin"


@dataclass(frozen=True)
class DebugFiles:
    """Files to be written beside a program."""

    etrecord: bool = False
    """``etrecord.bin``, which ``executorch.devtools`` links the program to its source with."""
    memory: bool = False
    """``memory_profile_METHOD.json``: planned memory in Chrome's trace format (chrome://tracing, https://ui.perfetto.dev)."""

    def paths(self, directory: Path, methods: Iterable[str]) -> list[Path]:
        """What ``write`` writes."""
        traces = [directory / f"memory_profile_{method}.json" for method in methods] if self.memory else []
        return [*([directory / ETRECORD] if self.etrecord else []), *traces]

    def write(self, emitted: Any, methods: Iterable[str], directory: Path) -> list[Path]:
        """Write the files and read them back.

        Args:
            emitted: An ``executorch.exir.ExecutorchProgramManager``; lowered with ``generate_etrecord`` where an ETRecord is
                wanted.
            methods: The methods of the program.
            directory: Where to; files of the same names are replaced.

        Raises:
            ExportError: a file could not be written, or cannot be read back; it is not left behind.
        """
        methods = list(methods)
        if self.etrecord:
            _produce(directory / ETRECORD, lambda path: emitted.get_etrecord().save(str(path)), _check_etrecord)
        if self.memory:
            for method, path in zip(methods, DebugFiles(memory=True).paths(directory, methods), strict=True):
                _produce(path, functools.partial(_write_memory_trace, emitted, method), _check_memory_trace)
        return self.paths(directory, methods)


def _produce(path: Path, write: Callable[[Path], None], check: Callable[[Path], None]) -> None:
    partial = path.with_suffix(".partial")
    path.unlink(missing_ok=True)  # one of an earlier export would pass for this one's
    try:
        write(partial)
        check(partial)
    except Exception as error:
        partial.unlink(missing_ok=True)
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ExportError(
            f"{path} could not be written: {type(error).__name__}: {reason} The program is complete; export without this file."
        ) from error
    partial.replace(path)


def _check_etrecord(path: Path) -> None:
    from executorch.devtools.etrecord import parse_etrecord

    if parse_etrecord(str(path)).edge_dialect_program is None:
        raise ValueError("it holds no edge program.")


def _write_memory_trace(emitted: Any, method: str, path: Path) -> None:
    from executorch.util.activation_memory_profiler import generate_memory_trace

    generate_memory_trace(emitted, str(path), enable_memory_offsets=True, method_name=method)


def _check_memory_trace(path: Path) -> None:
    if not json.loads(path.read_text(encoding="utf-8"))["traceEvents"]:
        raise ValueError("no tensor has planned memory.")


def delegation_table(delegation: Delegation) -> str:
    """Operators by name, how many of each run in a delegate and how many outside, and the totals."""
    names = sorted({*delegation.delegated, *delegation.undelegated})
    inside, outside = sum(delegation.delegated.values()), sum(delegation.undelegated.values())
    rows = [(name, delegation.delegated.get(name, 0), delegation.undelegated.get(name, 0)) for name in names]
    width = max(map(len, [*names, "operator"]))
    return "\n".join(
        [
            f"delegated subgraphs: {delegation.delegates}",
            f"delegated nodes: {inside}",
            f"non-delegated nodes: {outside}",
            f"{'operator':<{width}}  {'delegated':>9}  {'not delegated':>13}",
            *(f"{name:<{width}}  {within:>9}  {without:>13}" for name, within, without in [*rows, ("total", inside, outside)]),
        ]
    )
