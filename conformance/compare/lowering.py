"""Lowering as upstream does it, next to ``exporters.lowering``: the same bytes, and at what cost."""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

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
    sha256: str
    """Of the program."""

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
        peak = peak_memory_bytes()  # before the program is copied to be digested
    return Lowered(between - began, ended - between, peak, hashlib.sha256(program.buffer).hexdigest())


def _forget_peak() -> None:
    """Let the peak of the resident memory begin anew (Linux only)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
