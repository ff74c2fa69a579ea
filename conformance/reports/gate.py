"""The gate's verdict as people and machines read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from conformance.changes import Change
from conformance.gate import Verdict, commands, last_line
from conformance.record import UNPROVED
from conformance.reports.changes import as_mapping, change_lines, change_table, escape, plain

TITLES = {
    "failures": ("worse, or accepted by nobody", "red"),
    "inconclusive": ("inconclusive: more launches, or a quieter machine, would tell", "yellow"),
    "improvements": ("better", "green"),
    "new": ("new, without a baseline", "yellow"),
    "other": ("different", "yellow"),
}
"""By field of ``Verdict`` what stands above it, and its colour; in this order."""


def _groups(verdict: Verdict) -> Iterator[tuple[str, Sequence[Change], str]]:
    for name, (title, style) in TITLES.items():
        found: tuple[Change, ...] = getattr(verdict, name)
        if found:
            yield title, found, style


def _notes(verdict: Verdict) -> list[str]:
    notes = [
        f"latency of {len(cells)} cells not compared: {why}" + (f" ({cells[0]})" if len(cells) == 1 else "")
        for why, cells in verdict.uncompared.items()
    ]
    if any(why.startswith("another ") for why in verdict.uncompared):
        notes.append("'zoo gate --against <git ref>' measures both sides on one machine.")
    notes += [f"record what is new or better: {command}" for command in commands(verdict)]
    unproved = [change.cell for change in verdict.failures if change.figure == "status" and change.after in UNPROVED]
    models = sorted({change.cell.partition("@")[0] for change in verdict.failures if change.cell not in unproved})
    if models:
        notes.append(f"what is worse on purpose is accepted by recording it: zoo baseline --update {' '.join(models)}")
    notes += [f"{cell} proves nothing, and no baseline makes that good: run it again" for cell in unproved]
    fixed = [change.cell for change in verdict.failures if change.after == "fixed"]
    notes += [f"{cell} passes: zoo expectations --update removes its KnownFailure" for cell in fixed]
    return notes


def table(verdict: Verdict) -> RenderableType:
    """For a terminal. Names are text, whatever markup they contain."""
    rows: list[RenderableType] = []
    for title, found, style in _groups(verdict):
        rows += [Text(title, style=f"bold {style}"), change_table(found, style=style)]
    rows += [Text(plain(note)) for note in _notes(verdict)]
    return Group(*rows, Text(last_line(verdict), style="bold green" if verdict.passed else "bold red"))


def markdown(verdict: Verdict) -> str:
    """For a pull request or a step summary; the counts come first."""
    lines = [f"**{escape(last_line(verdict))}**", ""]
    for title, found, _ in _groups(verdict):
        lines += [f"### {title.capitalize()}", "", change_lines(found), ""]
    lines += [f"- {escape(note)}" for note in _notes(verdict)]
    return "\n".join(lines).rstrip() + "\n"


def as_json(verdict: Verdict) -> str:
    """For programs."""
    return (
        json.dumps(
            {
                "passed": verdict.passed,
                "summary": last_line(verdict),
                **{name: as_mapping(getattr(verdict, name)) for name in TITLES},
                "uncompared": {why: list(cells) for why, cells in verdict.uncompared.items()},
                "cells": verdict.cells,
                "timings": verdict.timings,
                "launches": verdict.launches,
                "commands": list(commands(verdict)),
            },
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )
