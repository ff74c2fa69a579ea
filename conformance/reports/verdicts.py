"""The generated sections of ``docs/verdicts.md``: what is measured of the suite itself, from the files of ``reports/verdicts``.

A page without a section's markers does without that section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from conformance.errors import ConformanceError
from conformance.repeatability import COMMAND, Difference, Repeatability
from conformance.reports import figures

PAGE = Path("docs/verdicts.md")
DIRECTORY = Path("reports/verdicts")
MUTATION_COMMAND = "pytest tests/faults --record-mutation-score"
_WIDEST = 160
"""Characters of a message."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Defect(_Schema):
    """A defect that was put in, and what said so."""

    name: str
    says: str
    """One sentence: what is broken."""
    place: Literal["exporter", "artifact", "session", "gate"]
    cell: str
    """``model@configuration``."""
    declared: str
    """The check, or the stage, that must catch it."""
    caught: bool
    caught_by: list[str]
    """Every check that failed, or the stage at which the cell ended."""
    message: str
    """The first line of what was said."""


class Mutation(_Schema):
    """Seeded defects, and how many were caught."""

    schema_version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    versions: dict[str, str]
    score: float
    """Share of the defects that are caught."""
    defects: list[Defect]

    @model_validator(mode="after")
    def _scored(self) -> Mutation:
        caught = sum(each.caught for each in self.defects)
        if self.defects and abs(self.score - caught / len(self.defects)) > 0.005:
            raise ValueError(f"score {self.score:g}, but {caught} of {len(self.defects)} are caught (1.0 is all of them)")
        return self


class Gatings(_Schema):
    """How often the gate said what."""

    gatings: int
    slower: int
    faster: int
    inconclusive: int
    same: int
    slower_at_most: float
    """Upper 95 % bound of the share of ``slower`` (Clopper and Pearson)."""


class Alarms(_Schema):
    """Gatings with launches of one kind."""

    launches: Literal["timed", "drawn", "made up", "worse"]
    """Timed in processes of their own; those, drawn at random; made up; made up, and worse than what was measured."""
    name: str
    """The cell, or the noise."""
    says: str
    identical: Gatings
    slowed: Gatings


class LatencyAlarms(_Schema):
    """How often the gate calls identical artifacts slower, and finds those that are."""

    schema_version: Literal[1] = 1
    created: str
    """When the launches were timed: UTC, ISO 8601."""
    processor: str
    versions: dict[str, str]
    slowdown: float
    """How much longer the slowed programs take (0.1: 10 %)."""
    margin: float
    """Up to which nothing is called slower."""
    launches: int
    """That were timed, of either kind of each cell."""
    alarms: list[Alarms]


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    """Of its markers."""
    file: str
    schema: type[BaseModel]
    render: Callable[[Any], str]
    command: str
    """What makes the file."""

    @property
    def markers(self) -> tuple[str, str]:
        """The lines that it stands between."""
        return f"<!-- {self.name}:begin -->", f"<!-- {self.name}:end -->"


def render_page(root: Path) -> dict[Path, str]:
    """What the page must contain; nothing in a project that has no such page.

    Raises:
        ConformanceError: a marker has no counterpart, or a section's file is missing or is none.
    """
    path = root / PAGE
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    for section in SECTIONS:
        if any(marker in text for marker in section.markers):
            text = between(path, text, section.markers, section.render(_read(root / DIRECTORY, section)))
    return {path: text}


def between(path: Path, text: str, markers: tuple[str, str], content: str) -> str:
    """The text of a page, with ``content`` between two markers.

    Raises:
        ConformanceError: the markers are not there, once each and in order.
    """
    begin, end = markers
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ConformanceError(f"{path} needs the lines {begin} and {end}, once each and in this order.")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{content}\n{end}{rest.split(end)[1]}"


def _read(directory: Path, section: Section) -> BaseModel:
    path = directory / section.file
    if not path.is_file():
        raise ConformanceError(f"there is no {path}; '{section.command}' makes it.")
    try:
        return section.schema.model_validate_json(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValidationError) as error:
        first = str(error)
        if isinstance(error, ValidationError):
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
            first = f"{where}: {error.errors()[0]['msg']}"
        raise ConformanceError(f"{path} is none that this code reads: {first}. '{section.command}' makes it anew.") from error


PLACES = {"exporter": "an exporter", "artifact": "an artifact", "session": "a session", "gate": "what the gate is given"}


def render_mutation(found: Mutation) -> str:
    """The score, and a table of the defects for each place where they are seeded."""
    if not found.defects:
        return f"None is recorded yet; `{MUTATION_COMMAND}` records them.\n"
    caught = sum(each.caught for each in found.defects)
    parts = [
        f"**{caught} of {len(found.defects)} seeded defects are caught ({figures.percent(caught / len(found.defects))})**: "
        f"`pytest tests/faults` (`--record-mutation-score` for this page), with {_versions(found.versions)}."
    ]
    for place, title in PLACES.items():
        body = [_defect(each) for each in found.defects if each.place == place]
        if body:
            header = ["Defect", "What is broken", "In", "Must be caught by", "Caught by", "What it says"]
            parts.append(f"In {title}:\n\n{figures.table(header, body)}")
    return "\n\n".join(parts) + "\n"


def _defect(each: Defect) -> list[str]:
    by = ", ".join(figures.code(name) for name in each.caught_by) or "–"
    return [
        figures.inline(each.name),
        figures.inline(each.says),
        figures.code(each.cell),
        figures.code(each.declared),
        f"{figures.SYMBOLS['pass' if each.caught else 'fail']} {by}",
        figures.inline(_settled(each.message)) or "–",
    ]


def _settled(message: str) -> str:
    """A message without what another machine or another day would say: times of day, addresses, directories."""
    line = message.strip().split("\n")[0]
    for what, instead in (
        (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "…"),
        (r"\b0x[0-9a-f]{6,}\b", "0x…"),
        (r"(?<![\w./:])/(?:[^\s/'\"]+/)+", "…/"),
    ):
        line = re.sub(what, instead, line)
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def render_repeatability(found: Repeatability) -> str:
    """How many cells were the same in all repetitions, and what differed in the others."""
    times = f"{found.repetitions} of {found.repetitions} repetitions"
    statuses = ", ".join(f"{count} × {figures.fact(name.replace('_', ' '))}" for name, count in found.statuses.items())
    on = figures.inline(", ".join(found.processors)) or "an unknown processor"
    parts = [
        f"**{found.same_verdicts} of {found.cells} cells have the same verdicts in {times} "
        f"({figures.percent(found.same_verdicts / found.cells)})**: `{COMMAND}`.",
        f"- {found.cells} cells of {found.models} models. {found.verdicts} verdicts of cells ({statuses}), {found.checks} of "
        "their checks.\n"
        f"- {found.same_figures} of {found.cells} cells have the same figures, too, to the last digit: tokens, errors of "
        "logits, what rounding costs; everything but times and memory.\n"
        f"- Finished {figures.fact(found.created[:10])} on {on}, with {_versions(found.versions)}.",
    ]
    differing = [[figures.code(each.cell), _differences(each.verdicts), _differences(each.figures)] for each in found.differing]
    if differing:
        parts.append(figures.table(["Cell", "Verdicts that differ", "Figures that differ"], differing))
    return "\n\n".join(parts) + "\n"


def _differences(found: Sequence[Difference]) -> str:
    return "<br>".join(f"{figures.code(each.field)}: {_values(each)}" for each in found) or "–"


def _values(found: Difference) -> str:
    told = ", ".join(f"{figures.inline(value)} ({count} ×)" for value, count in found.values)
    return f"in {found.places} places, at first {told}" if found.places > 1 else told


LAUNCHES = {
    "timed": "timed",
    "drawn": "timed, drawn at random",
    "made up": "made up",
    "worse": "made up, worse than measured",
}


def render_latency_alarms(found: LatencyAlarms) -> str:
    """False alarms among gatings of identical artifacts, and slowdowns that are found, by kind of launches."""
    timed = [each.identical for each in found.alarms if each.launches == "timed"]
    alarms, gatings = sum(each.slower for each in timed), sum(each.gatings for each in timed)
    share = f" ({_share(alarms / gatings)})" if gatings else ""
    slower = _share(found.slowdown)
    header = ["Launches", "Of", "Gatings", "False alarms", "At most, at 95 %", "Inconclusive", f"{slower} slower: found"]
    noises = [f"- {figures.inline(each.name)}: {figures.inline(each.says)}" for each in found.alarms if each.says]
    parts = [
        f"**{alarms} of {gatings} gatings of identical artifacts, with launches that were timed, raise a false alarm{share}**: "
        "`python -m benchmarks.gate_experiment`; with `--again` it gates the committed launches anew.",
        figures.table(header, [_alarms(each) for each in found.alarms]),
        *(["The noise that is made up:\n\n" + "\n".join(noises)] if noises else []),
        f"{found.launches} launches of either kind of each program, timed {figures.fact(found.created[:10])} on "
        f"{figures.inline(found.processor)}, with {_versions(found.versions)}.",
    ]
    return "\n\n".join(parts) + "\n"


def _alarms(each: Alarms) -> list[str]:
    made_up = each.launches in ("made up", "worse")
    same = each.identical
    return [
        LAUNCHES[each.launches],
        figures.inline(each.name) if made_up else figures.code(each.name),
        str(same.gatings),
        str(same.slower),
        _share(same.slower_at_most),
        str(same.inconclusive),
        f"{each.slowed.slower} of {each.slowed.gatings}",
    ]


def _share(share: float) -> str:
    """A small share, such as ``0.25 %``."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "\N{NO-BREAK SPACE}%"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(figures.fact(f"{name} {version}") for name, version in versions.items()) or "unknown versions"


SECTIONS = (
    Section("mutation-score", "mutation.json", Mutation, render_mutation, MUTATION_COMMAND),
    Section("repeatability", "repeatability.json", Repeatability, render_repeatability, COMMAND),
    Section(
        "latency-aa", "latency-aa.json", LatencyAlarms, render_latency_alarms, "python -m benchmarks.gate_experiment --again"
    ),
)
