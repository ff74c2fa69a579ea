"""Records as the summary of a step of GitHub Actions: counts, what is not green with its reason, the slowest cells."""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.inert import inert
from conformance.record import GREEN, Record

VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that a step appends to."""
ROWS = 100
"""Cells that a table shows at most. GitHub takes 1 MiB a step."""
SLOWEST = 10
REASON = 500
"""Characters of a reason."""


def code(text: str, *, most: int = REASON) -> str:
    """A text from outside as one line of inert code: no markup, link, mention or reference comes of it, in a table or anywhere.

    Characters that mean something become numeric references, which cannot stand for markup (CommonMark 2.5); in ``<code>``
    GitHub makes nothing of ``@name``, ``#1`` and addresses either.
    """
    flat = " ".join(text.split())
    flat = flat if len(flat) <= most else f"{flat[: most - 1]}…"
    plain = inert(flat, keep="")
    return f"<code>{''.join(char if char.isalnum() or char in ' -' else f'&#{ord(char)};' for char in plain)}</code>"


def render_summary(records: Sequence[Record]) -> str:
    """The summary as Markdown."""
    counts = collections.Counter(record.status for record in records)
    red = sorted((record for record in records if record.status not in GREEN), key=lambda record: record.cell)
    models = len({record.model for record in records})
    parts = [
        f"## Conformance: {len(records)} cells of {models} models, {len(red)} not green",
        _table(("status", "cells"), [(status.replace("_", " "), str(count)) for status, count in counts.most_common()]),
    ]
    if red:
        shown = [(code(record.cell), record.status.replace("_", " "), code(record.reason)) for record in red[:ROWS]]
        more = f"\n\n{len(red) - ROWS} more are in the records." if len(red) > ROWS else ""
        parts.append(f"### Not green\n\n{_table(('cell', 'status', 'reason'), shown)}{more}")
    known = [record for record in records if record.status == "known_failure"]
    if known:
        table = _table(
            ("cell", "reason", "issue"),
            [(code(record.cell), code(record.reason), code(record.issue or "")) for record in known[:ROWS]],
        )
        parts.append(_folded("Known failures", table))
    took = {record.cell: sum(stage.seconds for stage in record.stages if not stage.cached) for record in records}
    slowest = [cell for cell in sorted(took, key=lambda cell: (-took[cell], cell))[:SLOWEST] if took[cell] > 0]
    if slowest:
        table = _table(("cell", "seconds"), [(code(cell), f"{took[cell]:.1f}") for cell in slowest])
        parts.append(_folded("Slowest cells", table))
    return "\n\n".join(parts) + "\n"


def append_summary(records: Sequence[Record], environment: Mapping[str, str] = os.environ) -> Path:
    """Append the summary to the file that GitHub shows; returns it.

    Raises:
        ConformanceError: this is no step of GitHub Actions.
    """
    if not environment.get(VARIABLE):
        raise ConformanceError(f"--step-summary: ${VARIABLE} is not set; GitHub Actions sets it, or name a file in it.")
    path = Path(environment[VARIABLE])
    with path.open("a", encoding="utf-8") as file:
        file.write(render_summary(records) + "\n")
    return path


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
