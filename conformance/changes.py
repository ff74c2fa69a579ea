"""What changed between two sets of records: verdicts, stages, structure, and speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance import statistics
from conformance.record import STAGES, Record

KINDS = ("broken", "slower", "larger", "gone", "fixed", "faster", "smaller", "new", "changed")
"""The kinds of changes, worst first."""
WORSE = frozenset({"broken", "slower", "larger", "gone"})
"""The kinds that make something worse."""

RANKS: Mapping[str, int] = {
    "pass": 0,
    "known_failure": 1,
    "fixed": 1,
    "not_applicable": 2,
    "inconclusive": 3,
    "blocked": 4,
    "timeout": 5,
    "oom": 5,
    "fail": 5,
    "crash": 6,
}
"""Statuses from best to worst. A known failure is tried and watched, what is not applicable is not even tried; a crash takes
the process along."""

SIZE_SLACK, SIZE_SLACK_BYTES = 0.01, 1024
"""A file may grow by the larger of these unnoticed: names, alignment and metadata change with every version."""
SHARE_SLACK = 1e-6
"""The quantized share is a quotient of whole numbers; only rounding in JSON may move it."""
SPEED_MARGIN = 0.05
"""What is no slowdown: less cannot be told from where memory happens to lie in a process."""
PHASES = ("decode", "prefill", "infer")
ENVIRONMENT = ("processor", "machine", "threads")
"""What two hosts must have in common for their speeds to be compared."""
REFERENCE = ("torch", "transformers", "python")
"""The packages that eager PyTorch, to which programs are compared, consists of."""


@dataclass(frozen=True)
class Change:
    """One thing that is different."""

    kind: str
    """One of ``KINDS``."""
    cell: str
    """``model@configuration``."""
    what: str
    """One line: figures before → after."""
    before: str | float | None
    after: str | float | None
    figure: str
    """What was compared: ``status``, ``stage``, ``file_bytes``, ``decode`` ..."""


def compare(before: Sequence[Record], after: Sequence[Record]) -> list[Change]:
    """What changed, by ``KINDS`` and then by cell."""
    first = {record.cell: record for record in before}
    second = {record.cell: record for record in after}
    found: list[Change] = []
    for cell in sorted(first.keys() | second.keys()):
        old, new = first.get(cell), second.get(cell)
        if old is None and new is not None:
            found.append(Change("new", cell, f"new: {new.status}", None, new.status, "status"))
        elif new is None and old is not None:
            found.append(Change("gone", cell, f"gone: was {old.status}", old.status, None, "status"))
        elif old is not None and new is not None:
            found += compare_cell(old, new)
    return sorted(found, key=lambda change: (KINDS.index(change.kind), change.cell))


def compare_cell(before: Record, after: Record) -> list[Change]:
    """What changed in one cell."""
    return [*_verdict(before, after), *_structure(before, after), *_speed(before, after)]


def _verdict(before: Record, after: Record) -> Iterator[Change]:
    if before.status != after.status:
        old, new = RANKS[before.status], RANKS[after.status]
        better = after.status == "pass" or (before.status, after.status) == ("known_failure", "fixed")
        kind = "broken" if new > old else "fixed" if better else "changed"
        told = f": {after.reason}" if after.reason and after.status != "pass" else ""
        yield Change(kind, after.cell, f"{before.status} → {after.status}{told}", before.status, after.status, "status")
    reached = [-1 if stage is None else STAGES.index(stage) for stage in (before.furthest_stage, after.furthest_stage)]
    if reached[0] != reached[1]:
        kind = "broken" if reached[1] < reached[0] else "fixed"
        names = [before.furthest_stage or "none", after.furthest_stage or "none"]
        yield Change(kind, after.cell, f"furthest stage {names[0]} → {names[1]}", names[0], names[1], "stage")


def _structure(before: Record, after: Record) -> Iterator[Change]:
    if before.file_bytes is not None and after.file_bytes is not None:
        slack = max(SIZE_SLACK * before.file_bytes, SIZE_SLACK_BYTES)
        grown = after.file_bytes - before.file_bytes
        if abs(grown) > slack:
            what = f"{before.file_bytes:,} → {after.file_bytes:,} bytes ({grown / before.file_bytes:+.1%})"
            kind = "larger" if grown > 0 else "smaller"
            yield Change(kind, after.cell, what, before.file_bytes, after.file_bytes, "file_bytes")


def ratios(record: Record) -> dict[str, list[float]]:
    """By phase the log ratios of the program's times over eager PyTorch's, a block each; empty without samples."""
    samples: Mapping[str, Any] = record.latency.get("samples", {})
    return {
        phase: statistics.log_ratios(sides["executorch"], sides["eager"]).tolist()
        for phase, sides in samples.items()
        if sides.get("executorch") and sides.get("eager")
    }


def _speed(before: Record, after: Record) -> Iterator[Change]:
    if before.scale != after.scale or any(before.host.get(name) != after.host.get(name) for name in ENVIRONMENT):
        return
    old, new = ratios(before), ratios(after)
    for phase in PHASES:
        if phase in old and phase in new:
            interval = statistics.change(old[phase], new[phase])
            if interval.low > 1 + SPEED_MARGIN or interval.high < 1 / (1 + SPEED_MARGIN):
                kind = "slower" if interval.ratio > 1 else "faster"
                figures = [math.exp(-sorted(side)[len(side) // 2]) for side in (old[phase], new[phase])]
                what = f"{phase} {figures[0]:.2f} → {figures[1]:.2f} times eager's speed, time {interval}"
                yield Change(kind, after.cell, what, round(figures[0], 4), round(figures[1], 4), phase)


def versions(records: Sequence[Record]) -> dict[str, str]:
    """The versions that the records name, by package; several are joined by commas."""
    found: dict[str, Counter[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            found.setdefault(package, Counter())[version] += 1
    return {package: ", ".join(sorted(seen)) for package, seen in found.items()}


def other_versions(before: Sequence[Record], after: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """The packages whose versions differ between two sets of records: before and after."""
    old, new = versions(before), versions(after)
    return {
        name: (old.get(name, "none"), new.get(name, "none"))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }
