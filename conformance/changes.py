"""What changed between two sets of records: verdicts, stages, structure, and speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance import baselines, statistics
from conformance.baselines import ENVIRONMENT, Entry
from conformance.record import GREEN, STAGES, Record

KINDS = ("broken", "slower", "larger", "gone", "fixed", "faster", "smaller", "new", "changed")
"""The kinds of changes, worst first."""
WORSE = frozenset({"broken", "slower", "larger", "gone"})
"""The kinds that make something worse."""
BETTER = frozenset({"fixed", "faster", "smaller"})
"""The kinds that make something better."""

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
"""What counts as a slowdown, as a share of the time: a seeded one of 10 % is well beyond it, what differs between two processes
that do the same is within it."""
ERROR_RATE = 0.05
"""Of what is said to be slower or faster, so much may be wrong by less than the margin (``statistics.discoveries``)."""
LONE_LAUNCH_SD = 0.06
"""Standard deviation of launches where there is one on either side, made in a run that did other things beside it."""
PHASES = ("decode", "prefill", "infer")
REFERENCE = ("torch", "transformers", "python")
"""What eager PyTorch consists of: where these are others, so is what programs are compared with."""


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
    first = {record.cell: baselines.entry(record) for record in before}
    second = {record.cell: baselines.entry(record) for record in after}
    found = [
        Change("gone", cell, f"was {first[cell].status}", first[cell].status, None, "status")
        for cell in first.keys() - second.keys()
    ]
    found += [
        Change("new", cell, _with_reason(second[cell]), None, second[cell].status, "status")
        for cell in second.keys() - first.keys()
    ]
    both = {cell: (first[cell], second[cell]) for cell in first.keys() & second.keys()}
    for cell, (earlier, later) in both.items():
        found += differences(cell, earlier, later)
    found += _speeds(both)
    return in_order(found)


def gone(cell: str, before: Entry) -> Change:
    """A cell that is there no longer."""
    return Change("gone", cell, f"was {before.status}", before.status, None, "status")


def new(cell: str, after: Entry) -> Change:
    """A cell that was not there before."""
    return Change("new", cell, _with_reason(after), None, after.status, "status")


def unproved(cell: str, after: Entry) -> Change:
    """A cell that proves nothing, as before."""
    return Change("changed", cell, f"still {_with_reason(after)}", after.status, after.status, "status")


def in_order(changes: Iterable[Change]) -> list[Change]:
    """Changes by kind, worst first, then by cell and figure."""
    return sorted(changes, key=lambda change: (KINDS.index(change.kind), change.cell, change.figure))


def differences(cell: str, before: Entry, after: Entry) -> list[Change]:
    """What changed in one cell but for its speed."""
    if before.scale != after.scale:
        return [Change("changed", cell, f"scale {before.scale} → {after.scale}", before.scale, after.scale, "scale")]
    return [*_verdict(cell, before, after), *_structure(cell, before, after), *_answers(cell, before, after)]


def _with_reason(entry: Entry) -> str:
    return f"{entry.status}: {entry.reason}" if entry.reason else entry.status


def _verdict(cell: str, before: Entry, after: Entry) -> Iterator[Change]:
    old, new = RANKS[before.status], RANKS[after.status]
    if before.status != after.status:
        better = after.status == "pass" or (before.status, after.status) == ("known_failure", "fixed")
        kind = "broken" if new > old else "fixed" if better else "changed"
        yield Change(kind, cell, f"{before.status} → {_with_reason(after)}", before.status, after.status, "status")
    elif before.issue != after.issue:
        yield Change("changed", cell, f"issue {before.issue} → {after.issue}", before.issue, after.issue, "issue")
    reached = [-1 if stage is None else STAGES.index(stage) for stage in (before.furthest_stage, after.furthest_stage)]
    if reached[1] < reached[0] or (reached[1] > reached[0] and before.status not in GREEN):
        names = [before.furthest_stage or "none", after.furthest_stage or "none"]
        kind = "broken" if reached[1] < reached[0] else "fixed"
        yield Change(kind, cell, f"furthest stage {names[0]} → {names[1]}", names[0], names[1], "stage")
    if before.status == after.status == "pass":
        for name in before.checks.keys() - after.checks.keys():
            yield Change("broken", cell, f"the check {name} is no longer made", before.checks[name], None, f"check {name}")


def _structure(cell: str, before: Entry, after: Entry) -> Iterator[Change]:
    if before.file_bytes is None or after.file_bytes is None:
        return  # the status says that nothing was exported
    slack = max(SIZE_SLACK * before.file_bytes, SIZE_SLACK_BYTES)
    grown = after.file_bytes - before.file_bytes
    if abs(grown) > slack:
        what = f"{before.file_bytes:,} → {after.file_bytes:,} bytes ({grown / before.file_bytes:+.1%})"
        yield Change("larger" if grown > 0 else "smaller", cell, what, before.file_bytes, after.file_bytes, "file_bytes")
    recorded = after.undelegated is not None  # records of the first version have neither methods nor delegation
    if recorded and before.methods and before.methods != after.methods:
        names = [", ".join(each.methods) or "none" for each in (before, after)]
        kind = "fixed" if set(before.methods) < set(after.methods) else "broken"
        yield Change(kind, cell, f"methods {names[0]} → {names[1]}", names[0], names[1], "methods")
    yield from _delegation(cell, before, after)
    old, new = before.quantized_share, after.quantized_share
    if old is not None and (new is None or abs(new - old) > SHARE_SLACK):
        kind = "broken" if new is None or new < old else "fixed"
        told = "unknown" if new is None else f"{new:.1%}"
        yield Change(kind, cell, f"quantized share of linear weights {old:.1%} → {told}", old, new, "quantized_share")


def _delegation(cell: str, before: Entry, after: Entry) -> Iterator[Change]:
    """Every difference counts, and is for the better only where fewer operators are left to portable kernels."""
    if before.undelegated is None or after.undelegated is None:
        return
    found = after.undelegated
    names = sorted(before.undelegated.keys() | found.keys())
    counts = {name: (before.undelegated.get(name, 0), found.get(name, 0)) for name in names}
    moved = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
    sums = [sum(before.undelegated.values()), sum(found.values())]
    fewer = bool(moved) and all(new < old for old, new in moved.values())
    if moved:
        told = ", ".join(f"{name} {old} → {new}" for name, (old, new) in moved.items())
        yield Change("fixed" if fewer else "broken", cell, f"operators not delegated: {told}", sums[0], sums[1], "undelegated")
    if before.delegates != after.delegates:
        what = f"delegates {before.delegates} → {after.delegates}"
        yield Change("changed" if fewer else "broken", cell, what, before.delegates, after.delegates, "delegates")


def _answers(cell: str, before: Entry, after: Entry) -> Iterator[Change]:
    """Other tokens are a regression where eager PyTorch still says the same; another processor may round in another way."""
    if before.tokens_sha256 is None or after.tokens_sha256 in (None, before.tokens_sha256):
        return
    same = before.reference_sha256 == after.reference_sha256
    alike = before.host.get("processor") == after.host.get("processor")
    why = "" if not same else ", and eager PyTorch says what it said"
    if same and not alike:
        why = " on another processor"
    kind = "broken" if same and alike else "changed"
    yield Change(kind, cell, f"the program says other tokens{why}", before.tokens_sha256, after.tokens_sha256, "tokens")


def incomparable(before: Entry, after: Entry) -> str | None:
    """Why speeds relative to eager PyTorch cannot be compared; ``None`` if they can be."""
    for name in ENVIRONMENT:
        if before.host.get(name) != after.host.get(name):
            return f"another {name}: {before.host.get(name, 'unknown')} → {after.host.get(name, 'unknown')}"
    for name in REFERENCE:
        if before.versions.get(name) != after.versions.get(name):
            return f"another {name}: {before.versions.get(name, 'none')} → {after.versions.get(name, 'none')}"
    return None if before.scale == after.scale else f"another scale: {before.scale} → {after.scale}"


def speed_change(cell: str, phase: str, kind: str, ratio: float | None, changed: statistics.Interval) -> Change:
    """The change of a speed.

    Args:
        ratio: Log ratio of the program's time to eager PyTorch's before; ``None`` where programs were compared with each other.
        changed: How the program's time changed.
    """
    if ratio is None:
        return Change(kind, cell, f"{phase}: the time changed by {changed}", 1.0, round(1 / changed.ratio, 4), phase)
    figures = [math.exp(-ratio), math.exp(-ratio) / changed.ratio]
    what = f"{phase} {figures[0]:.2f} → {figures[1]:.2f} times the speed of eager PyTorch; the time changed by {changed}"
    return Change(kind, cell, what, round(figures[0], 4), round(figures[1], 4), phase)


def _speeds(both: Mapping[str, tuple[Entry, Entry]]) -> list[Change]:
    """What is slower or faster beyond the margin, with what is known from one launch of either side."""
    compared: dict[str, tuple[str, str, statistics.Comparison]] = {}
    for cell, (old, new) in both.items():
        if incomparable(old, new) is not None:
            continue
        for phase in PHASES:
            first, second = old.launches(phase), new.launches(phase)
            found = statistics.compare(first, second, launch_sd=LONE_LAUNCH_SD)
            if found is not None:
                compared[f"{cell} {phase}"] = cell, phase, found
    changes = []
    for kind, p_value in (("slower", statistics.Comparison.p_slower), ("faster", statistics.Comparison.p_faster)):
        names, alpha = statistics.discoveries(
            {name: p_value(found, SPEED_MARGIN) for name, (_, _, found) in compared.items()}, ERROR_RATE
        )
        for name in names:
            cell, phase, found = compared[name]
            before = statistics.center(both[cell][0].launches(phase))
            changes.append(speed_change(cell, phase, kind, before, found.interval(alpha)))
    return changes


def versions(records: Sequence[Record]) -> dict[str, str]:
    """The versions that the records name, by package; several are joined by commas."""
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(seen)) for package, seen in found.items()}


def other_versions(before: Sequence[Record], after: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """The packages whose versions differ between two sets of records: before and after."""
    old, new = versions(before), versions(after)
    return {
        name: (old.get(name, "none"), new.get(name, "none"))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }
