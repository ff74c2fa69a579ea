"""Lowering as upstream does it, next to ``exporters.lowering``: the same bytes, and at what cost."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.config import ExportConfig
from exporters.lowering import lowering
from exporters.pipeline import Traced, emit, lower, peak_memory_bytes


@dataclass(frozen=True)
class Lowered:
    """One lowering of a traced model."""

    lower_seconds: float
    emit_seconds: float
    peak_memory_bytes: int
    """Highest resident memory of the process; since the lowering began where the system can forget an earlier peak."""
    size: int
    """Of the program, in bytes."""
    sha256: str

    @property
    def seconds(self) -> float:
        """Lowering and emitting."""
        return self.lower_seconds + self.emit_seconds


def lowered(traced: Traced, config: ExportConfig, *, stock: bool) -> Lowered:
    """Lower a traced model and emit its program, in memory."""
    import torch

    _forget_peak()
    with torch.no_grad(), lowering(stock=stock):
        began = time.perf_counter()
        edge = lower(traced, config)
        between = time.perf_counter()
        program = emit(edge, config)
        ended = time.perf_counter()
    written = _Digest()
    program.write_to_file(written)
    return Lowered(between - began, ended - between, peak_memory_bytes(), written.size, written.sha256.hexdigest())


class _Digest:
    """A file that keeps the digest of what is written into it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return len(data)


def _forget_peak() -> None:
    """Let the peak of the resident memory begin anew (Linux only)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def in_child(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a forked child, so that what it changes, caches or fills stays there.

    The calling process must not have started threads of PyTorch.

    Raises:
        RuntimeError: the child died.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        sender.send(function(*args, **kwargs))

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__} ended without a result (exit code {process.exitcode})") from None
    finally:
        process.join()
