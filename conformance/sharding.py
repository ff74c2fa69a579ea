"""Dealing the cells of a run to several machines, by how long each took when it was last recorded."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conformance.errors import ConformanceError
from conformance.matrix import Cell
from conformance.record import Record

MOST = 1000
"""Shards that a run may be dealt to."""
SLACK = 1.05
"""How much longer than the mean a shard may take so that the cells of a model stay together."""


@dataclass(frozen=True)
class Shard:
    """One part of a run."""

    index: int
    """From 1 to ``count``."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that ``2/5`` names.

        Raises:
            ConformanceError: the text is no such pair.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip(), re.ASCII)
        if found is not None:
            index, count = (int(number) for number in found.groups())
            if 1 <= index <= count <= MOST:
                return cls(index, count)
        raise ConformanceError(
            f"--shard {text!r}: give which shard of how many, from 1/1 to {MOST}/{MOST}, such as 2/5 for the second of five."
        )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def seconds(record: Record) -> float:
    """How long a cell takes that nothing is cached of: the sum of its stages, in seconds. Stages from a cached artifact count
    what they took when it was made."""
    return sum(stage.seconds for stage in record.stages)


def durations(cells: Iterable[Cell], records: Iterable[Record]) -> dict[str, float]:
    """How long each cell will take, in seconds, by its name.

    A cell without a record of its own takes the median of its task and configuration, else that of its task, else that of all
    records, else a second. A cell that does not apply takes nothing.
    """
    known: dict[str, float] = {}
    groups: dict[tuple[str, ...], list[float]] = {}
    for record in records:
        if record.stages:
            known[record.cell] = took = seconds(record)
            for group in ((record.task, record.configuration), (record.task,), ()):
                groups.setdefault(group, []).append(took)
    medians = {group: statistics.median(values) for group, values in groups.items()}

    def expected(cell: Cell) -> float:
        if cell.inapplicable is not None:
            return 0.0
        if cell.name in known:
            return known[cell.name]
        task = cell.model.task
        return next((medians[group] for group in ((task, cell.configuration), (task,), ()) if group in medians), 1.0)

    return {cell.name: expected(cell) for cell in cells}


def partition(cells: Sequence[Cell], costs: Mapping[str, float], count: int) -> list[tuple[Cell, ...]]:
    """``count`` parts of ``cells`` that take about equally long.

    The longest is packed first, onto the part that has least to do (Graham, 1969): models by what their cells take together,
    and of each the cells. A cell goes to a part that has some of its model already, whose twin is then built once, as long as
    that part stays within ``SLACK`` of the mean. So no part takes longer than ``SLACK`` times the mean, or than the mean and
    one cell. The parts depend on the names of the cells and on the costs, not on the order of ``cells``.

    Args:
        cells: The cells of the whole run.
        costs: Seconds by cell name.
        count: How many parts.

    Returns:
        The parts; in each the cells are in the order of ``cells``. A part is empty if there are fewer cells than parts.
    """
    models: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (-costs[cell.name], cell.name)):
        models.setdefault(cell.model.name, []).append(cell)
    whole = {name: sum(costs[cell.name] for cell in members) for name, members in models.items()}
    most = SLACK * sum(whole.values()) / count
    loads = [0.0] * count
    counts = [0] * count
    place: dict[str, int] = {}
    for name in sorted(models, key=lambda name: (-whole[name], name)):
        of_model: set[int] = set()
        for cell in models[name]:
            cost = costs[cell.name]
            home = [part for part in of_model if loads[part] + cost <= most]
            part = min(home or range(count), key=lambda part: (loads[part], counts[part], part))
            place[cell.name] = part
            of_model.add(part)
            loads[part] += cost
            counts[part] += 1
    return [tuple(cell for cell in cells if place[cell.name] == part) for part in range(count)]


__all__ = ["Shard", "durations", "partition", "seconds"]
