"""The gate: a run is held against what was accepted before, and what got worse is stopped.

Verdicts, stages and structure are compared figure by figure (``changes``). Latency is sampled: the program's time relative to
eager PyTorch's, in launches of which more are made while it is not clear on which side of the margin the truth is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conformance import changes, statistics
from conformance.baselines import Entry
from conformance.changes import BETTER, ERROR_RATE, PHASES, SPEED_MARGIN, WORSE, Change
from conformance.errors import ConformanceError
from conformance.record import GREEN, UNPROVED
from conformance.statistics import Comparison, Interval, Launch

LEAST_LAUNCHES = 4
"""Launches of either side that a verdict needs: one or two processes may have been unlucky, and from four on the mean is
trimmed."""
LAUNCHES_A_ROUND = 2
"""Launches that are made of a cell before it is looked at again."""
MOST_LAUNCHES = 24
"""Launches that are made of a cell at most; what is not clear then is inconclusive."""

Timing = tuple[str, str]
"""A cell and a phase."""
More = Callable[[str], Mapping[str, Launch]]
"""Makes one more launch of a cell and gives it by phase; nothing if it did not go well."""


@dataclass(frozen=True)
class Latency:
    """What is known of the speed of one phase of a cell."""

    kind: str
    """``slower``, ``faster``, ``same`` (no slowdown of more than the margin), or ``inconclusive``."""
    found: Comparison | None
    """``None`` if no launch went well."""
    alpha: float
    """The error rate of its interval at either end."""

    @property
    def interval(self) -> Interval | None:
        """How the time changed."""
        return None if self.found is None else self.found.interval(self.alpha)

    def __str__(self) -> str:
        if self.found is None:
            return "no launch went well"
        return f"the time changed by {self.interval} in {self.found.launches[-1]} launches"


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    failures: tuple[Change, ...]
    """What got worse, and what nobody accepted."""
    improvements: tuple[Change, ...]
    new: tuple[Change, ...]
    """Cells without a baseline that are all right."""
    other: tuple[Change, ...]
    """What is neither better nor worse."""
    inconclusive: tuple[Change, ...]
    """Latency that could not be decided; no failure."""
    uncompared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Cells whose latency was not compared, by reason."""
    cells: int = 0
    """Cells that were compared."""
    timings: int = 0
    """Phases of cells whose latency was compared."""
    launches: int = 0
    """Launches that were made for that."""

    @property
    def passed(self) -> bool:
        """Whether nothing fails."""
        return not self.failures


def judge(
    before: Mapping[str, Entry],
    after: Mapping[str, Entry],
    *,
    covered: Iterable[str],
    more: More | None = None,
    most: int = MOST_LAUNCHES,
    timings: Mapping[Timing, tuple[list[Launch], ...]] | None = None,
    uncompared: Mapping[str, tuple[str, ...]] | None = None,
) -> Verdict:
    """Hold a run against what was accepted.

    Args:
        before: What was accepted, by cell.
        after: What was found.
        covered: The cells that the run was to cover; those of ``before`` among them must be in ``after``.
        more: Makes launches; ``None`` compares no latency.
        most: Launches of a cell at most.
        timings: The launches there are already; by default those of ``before`` and ``after``.
        uncompared: Cells without timings, by reason; goes with ``timings``.

    Raises:
        ConformanceError: the two are of different scales.
    """
    both = {cell: (before[cell], after[cell]) for cell in sorted(before.keys() & after.keys())}
    scales = {(old.scale, new.scale) for old, new in both.values() if old.scale != new.scale}
    if scales:
        old, new = min(scales)
        raise ConformanceError(
            f"the run is of scale {new}, and what it is held against of scale {old}; run with --scale {old}."
        )
    found = [changes.gone(cell, before[cell]) for cell in covered if cell in before and cell not in after]
    found += [changes.new(cell, after[cell]) for cell in after.keys() - before.keys()]
    for cell, (old_entry, new_entry) in both.items():
        found += changes.differences(cell, old_entry, new_entry)
        if old_entry.status == new_entry.status and new_entry.status in UNPROVED:
            found.append(changes.unproved(cell, new_entry))
    if timings is None:
        timings, uncompared = starting_points(both) if more is not None else ({}, {})
    outcome, made = settle(timings, more, most=most) if more is not None else ({}, 0)
    unsure = []
    for (cell, phase), latency in outcome.items():
        interval = latency.interval
        if latency.kind in ("slower", "faster") and interval is not None:
            sides = timings[cell, phase]
            found.append(
                changes.speed_change(
                    cell, phase, latency.kind, statistics.center(sides[0]) if len(sides) > 1 else None, interval
                )
            )
        elif latency.kind == "inconclusive":
            unsure.append(Change("changed", cell, f"{phase}: {latency}", None, None, phase))
    ordered = changes.in_order(found)
    failures = [change for change in ordered if fails(change)]
    rest = [change for change in ordered if not fails(change)]
    return Verdict(
        failures=tuple(failures),
        improvements=tuple(change for change in rest if change.kind in BETTER),
        new=tuple(change for change in rest if change.kind == "new"),
        other=tuple(change for change in rest if change.kind == "changed"),
        inconclusive=tuple(unsure),
        uncompared=uncompared or {},
        cells=len(both),
        timings=len(outcome),
        launches=made,
    )


def fails(change: Change) -> bool:
    """Whether a change is stopped: what is worse; a known failure that passes, because its excuse is to be deleted; a cell that
    proves nothing, whatever was accepted; a new cell that is not green, because nobody has accepted it."""
    if change.kind == "new":
        return change.after not in GREEN
    return change.kind in WORSE or (change.figure == "status" and change.after in {"fixed", *UNPROVED})


def starting_points(
    both: Mapping[str, tuple[Entry, Entry]],
) -> tuple[dict[Timing, tuple[list[Launch], ...]], dict[str, tuple[str, ...]]]:
    """The launches that entries bring along, and the cells whose latency cannot be compared, by reason."""
    timings: dict[Timing, tuple[list[Launch], ...]] = {}
    uncompared: dict[str, list[str]] = {}
    for cell, (old, new) in both.items():
        if old.status != "pass" or new.status != "pass":
            continue
        why = changes.incomparable(old, new)
        phases = [phase for phase in PHASES if old.launches(phase)]
        if why is None and not phases:
            why = "the baseline has no samples"
        if why is not None:
            uncompared.setdefault(why, []).append(cell)
            continue
        for phase in phases:
            timings[cell, phase] = (old.launches(phase), new.launches(phase))
    return timings, {why: tuple(cells) for why, cells in uncompared.items()}


def settle(
    timings: Mapping[Timing, tuple[list[Launch], ...]], more: More, *, most: int = MOST_LAUNCHES
) -> tuple[dict[Timing, Latency], int]:
    """Make launches until it is clear of every timing whether it is slower, or until there were enough.

    Args:
        timings: By cell and phase the launches of each side; the last side is added to.
        more: Makes a launch.
        most: Launches of a cell at most.

    Returns:
        What is known of each, and how many launches were made.
    """
    made: Counter[str] = Counter()
    while True:
        outcome = looked_at({key: statistics.compare(*sides) for key, sides in timings.items()})
        unclear = {cell for (cell, _), each in outcome.items() if each.kind == "inconclusive"}
        cells = sorted(cell for cell in unclear if made[cell] < most)
        if not cells:
            return outcome, made.total()
        for cell in cells:
            for _ in range(min(LAUNCHES_A_ROUND, most - made[cell])):
                made[cell] += 1
                for phase, launch in more(cell).items():
                    if (cell, phase) in timings:
                        timings[cell, phase][-1].append(launch)


def looked_at(found: Mapping[Timing, Comparison | None]) -> dict[Timing, Latency]:
    """What one look at all comparisons says.

    Slower (or faster) is what remains after the correction for many comparisons, with the whole of its interval beyond the
    margin. Of all others it is asked one by one whether they are surely within it. Too few launches say neither.
    """
    compared = {key: each for key, each in found.items() if each is not None}
    names = {" ".join(key): key for key in compared}
    outcome = {key: Latency("inconclusive", each, ERROR_RATE) for key, each in found.items()}
    for key, each in compared.items():
        if min(each.launches) >= LEAST_LAUNCHES and each.interval(ERROR_RATE).high < 1 + SPEED_MARGIN:
            outcome[key] = Latency("same", each, ERROR_RATE)
    for kind, p_value in (("faster", Comparison.p_faster), ("slower", Comparison.p_slower)):
        stand, alpha = statistics.discoveries(
            {name: p_value(compared[key], SPEED_MARGIN) for name, key in names.items()}, ERROR_RATE
        )
        for name in stand:
            each = compared[names[name]]
            if min(each.launches) >= LEAST_LAUNCHES:
                outcome[names[name]] = Latency(kind, each, alpha)
    return outcome


def commands(verdict: Verdict) -> Sequence[str]:
    """What to type to accept what is new or better, one line for all models."""
    models = sorted({change.cell.partition("@")[0] for change in (*verdict.improvements, *verdict.new)})
    return [f"zoo baseline --update {' '.join(models)}"] if models else []


def last_line(verdict: Verdict) -> str:
    """The counts, in one line."""
    counts = [
        (len(verdict.failures), "worse"),
        (len(verdict.improvements), "better"),
        (len(verdict.new), "new"),
        (len(verdict.inconclusive), "inconclusive"),
    ]
    told = ", ".join(f"{number} {name}" for number, name in counts)
    skipped = sum(len(cells) for cells in verdict.uncompared.values())
    latency = f"latency of {verdict.timings} phases compared ({verdict.launches} launches made)"
    skip = f", of {skipped} cells not" if skipped else ""
    return f"gate {'passed' if verdict.passed else 'FAILED'}: {verdict.cells} cells: {told}; {latency}{skip}"
