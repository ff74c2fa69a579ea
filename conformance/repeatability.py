"""Repetitions of the same run held against each other: which cells got other verdicts, and which other figures.

A repetition is a run directory. All must be of the same cells, options, versions and code, and whole.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from conformance import runs
from conformance.errors import ConformanceError
from conformance.merging import judgement, stable
from conformance.record import Record

COMMAND = "python -m benchmarks.repeatability"
_MOST_VALUES = 5
_WIDEST = 100
"""Characters of a value that are kept."""
_VERDICTS = re.compile(r"status|checks\.[^.]+\.status")
"""What ``stable`` says and ``judgement`` says too."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Difference(_Schema):
    """A field of a record that repetitions did not agree about."""

    field: str
    """Its path, without the places in lists."""
    places: int = 1
    """In how many places of lists it differs."""
    values: list[tuple[str, int]]
    """At the first such place: what was found, and in how many repetitions; the commonest values."""


class Differing(_Schema):
    """A cell that was not the same in all repetitions."""

    cell: str
    verdicts: list[Difference]
    """Status, stage, kind of failure, and the status of each check."""
    figures: list[Difference]
    """Everything else but times, memory and what was timed (``conformance.merging.stable``)."""


class Repeatability(_Schema):
    """What repetitions of a run had in common."""

    schema_version: Literal[1] = 1
    created: str
    """When the last cell was run: UTC, ISO 8601."""
    repetitions: int
    cells: int
    models: int
    statuses: dict[str, int]
    """Verdicts of cells by status, of all repetitions."""
    checks: int
    """Verdicts of checks, of all repetitions."""
    same_verdicts: int
    """Cells whose verdicts are the same in all repetitions."""
    same_figures: int
    """Cells of which also all figures are."""
    differing: list[Differing]
    options: dict[str, Any]
    versions: dict[str, str]
    processors: list[str]

    @property
    def verdicts(self) -> int:
        """Verdicts of cells, of all repetitions."""
        return sum(self.statuses.values())


def summarised(directories: Sequence[Path]) -> Repeatability:
    """Hold the runs of directories against each other.

    Raises:
        ConformanceError: there are fewer than two; one is no run, or unfinished; or they are not of the same cells, options,
            versions and code.
    """
    if len({directory.resolve() for directory in directories}) < max(2, len(directories)):
        told = ", ".join(map(str, directories)) or "nothing"
        raise ConformanceError(f"{told} cannot be compared: repetitions are at least two directories, each named once.")
    manifests = [runs.read_manifest(directory) for directory in directories]
    for directory, manifest in zip(directories, manifests, strict=True):
        found = runs.differences(manifests[0], manifest)
        if sorted(manifest.cells) != sorted(manifests[0].cells):
            found.append(f"cells: {len(manifests[0].cells)} others")
        if found:
            raise ConformanceError(f"{directory} does not repeat {directories[0]}: {'; '.join(found)}.")
    repetitions = [_whole(directory, manifest) for directory, manifest in zip(directories, manifests, strict=True)]
    records = [record for repetition in repetitions for record in repetition.values()]
    differing = differences(repetitions)
    return Repeatability(
        created=max(record.created for record in records),
        repetitions=len(repetitions),
        cells=len(manifests[0].cells),
        models=len({record.model for record in records}),
        statuses=dict(collections.Counter(record.status for record in records).most_common()),
        checks=sum(len(record.checks) for record in records),
        same_verdicts=len(manifests[0].cells) - sum(bool(each.verdicts) for each in differing),
        same_figures=len(manifests[0].cells) - len(differing),
        differing=differing,
        options=manifests[0].options,
        versions=manifests[0].versions,
        processors=sorted({str(record.host["processor"]) for record in records if record.host.get("processor")}),
    )


def missing(directory: Path, manifest: runs.Manifest) -> list[str]:
    """The cells of a run that it has no verdict of."""
    found = runs.finished(directory)
    return [name for name in manifest.cells if name not in found]


def _whole(directory: Path, manifest: runs.Manifest) -> dict[str, Record]:
    """The records of a finished run, by cell."""
    left = missing(directory, manifest)
    if left:
        raise ConformanceError(
            f"{directory} is unfinished: {len(left)} of its {len(manifest.cells)} cells are missing. "
            f"Continue it: zoo run --resume {directory}"
        )
    found = runs.finished(directory)
    return {name: found[name] for name in manifest.cells}


def differences(repetitions: Sequence[Mapping[str, Record]]) -> list[Differing]:
    """The cells that are not the same in all repetitions, each of which has all cells."""
    found = []
    for cell in sorted(repetitions[0]):
        records = [repetition[cell] for repetition in repetitions]
        verdicts = _differences([judgement(record) for record in records])
        figures = _differences([stable(record) for record in records])
        figures = [each for each in figures if not _VERDICTS.fullmatch(each.field)]
        if verdicts or figures:
            found.append(Differing(cell=cell, verdicts=verdicts, figures=figures))
    return found


def _differences(said: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The fields about which nested mappings do not agree."""
    if all(each == said[0] for each in said):
        return []
    leaves = [dict(_leaves(each)) for each in said]
    found: dict[str, Difference] = {}
    for place in dict.fromkeys(place for each in leaves for place in each):
        values = collections.Counter(each.get(place, "absent") for each in leaves)
        if len(values) == 1:
            continue
        field = re.sub(r"\[\d+\]", "", place)
        if field in found:
            found[field].places += 1
        else:
            common = [(value[:_WIDEST], count) for value, count in values.most_common(_MOST_VALUES)]
            found[field] = Difference(field=field, values=common)
    return list(found.values())


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Everything in a nested value that is no list or mapping, and those that are empty: its path, and what it is as JSON."""
    if isinstance(value, Mapping) and value:
        for name, entry in value.items():
            yield from _leaves(entry, f"{place}.{name}" if place else str(name))
    elif isinstance(value, (list, tuple)) and value:
        for index, entry in enumerate(value):
            yield from _leaves(entry, f"{place}[{index}]")
    else:
        yield place, json.dumps(value, ensure_ascii=False)


__all__ = ["COMMAND", "Difference", "Differing", "Repeatability", "differences", "missing", "summarised"]
