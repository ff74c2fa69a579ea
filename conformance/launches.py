"""Launches of cells, from the parent's side: each is a child process that times a cell and ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conformance import statistics
from conformance.record import Record
from conformance.statistics import Launch
from conformance.trail import LaunchRequest
from conformance.worker import Limits, run_isolated
from zoo import registry

TARGET = "conformance.remeasure:time_cell"
BLOCKS = 16
"""Turns of either session in a launch: eight pairs. More of them say little that another launch would not say better."""
SIDES = ("eager", "executorch")


class Launcher:
    """Makes launches of cells.

    Args:
        directory: Where the children leave their breadcrumbs.
        options: What every cell is told (``scale``, ``threads``, ``max_seq_len``).
        limits: Time and memory a launch may use.
        programs: By cell the two programs to compare; without them a cell's program is compared with eager PyTorch.
        target: What the child calls.
        on_launch: Called with the cell before each launch.
    """

    def __init__(
        self,
        directory: Path,
        *,
        options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        programs: Mapping[str, tuple[Path, Path]] | None = None,
        target: str = TARGET,
        on_launch: Callable[[str], None] = lambda cell: None,
    ) -> None:
        self.directory = directory
        self.options = dict(options or {})
        self.limits = limits or Limits()
        self.programs = programs or {}
        self.target = target
        self.on_launch = on_launch
        self.failures: dict[str, str] = {}
        """By cell why its last launch came to nothing."""

    def samples(self, cell: str) -> Mapping[str, Mapping[str, list[float]]]:
        """One more launch: by phase and session the seconds of each block; nothing if it came to nothing."""
        self.on_launch(cell)
        model, _, configuration = cell.partition("@")
        pair = self.programs.get(cell)
        request = LaunchRequest(
            model,
            configuration,
            os.fspath(self.directory / "launches" / cell),
            blocks=BLOCKS,
            row=registry.models().get(model),
            programs=tuple(zip(("before", "after"), map(os.fspath, pair), strict=True)) if pair else (),
            **self.options,
        )
        record: Record = run_isolated(request, limits=self.limits, target=self.target)
        if record.failure is not None:
            self.failures[cell] = record.reason
        found: Mapping[str, Mapping[str, list[float]]] = record.latency.get("samples", {})
        return found

    def __call__(self, cell: str) -> Mapping[str, Launch]:
        """One more launch, by phase."""
        reference, times = ("before", "after") if cell in self.programs else SIDES
        return {phase: statistics.launch(sides[reference], sides[times]) for phase, sides in self.samples(cell).items()}
