"""Changes as people read them: a table for the terminal, Markdown for a pull request, a page."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import jinja2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.baselines import entry
from conformance.changes import BETTER, KINDS, WORSE, Change, incomparable, other_versions, versions
from conformance.record import Record

STYLES: Mapping[str, str] = {kind: "red" if kind in WORSE else "green" if kind in BETTER else "yellow" for kind in KINDS}


@dataclass(frozen=True)
class Diff:
    """What changed between two runs, and what there is to know of them."""

    before: str
    """Where the records came from."""
    after: str
    cells: tuple[int, int]
    versions: Mapping[str, tuple[str, str]]
    """The packages whose versions differ: before and after."""
    same: Mapping[str, str]
    """The versions of the others."""
    changes: tuple[Change, ...]
    uncompared: Mapping[str, int]
    """How many cells' speeds were not compared, by reason."""

    @property
    def counts(self) -> dict[str, int]:
        """How many changes there are of each kind."""
        found = collections.Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def summary(self) -> str:
        """The counts, in one line."""
        told = ", ".join(f"{number} {kind}" for kind, number in self.counts.items())
        return f"{self.cells[0]} → {self.cells[1]} cells: {told or 'nothing changed'}"

    @property
    def worse(self) -> bool:
        """Whether something is worse."""
        return any(change.kind in WORSE for change in self.changes)


def diff(
    before: Sequence[Record],
    after: Sequence[Record],
    changes: Sequence[Change],
    *,
    names: tuple[str, str] = ("before", "after"),
) -> Diff:
    """What there is to say of two runs and their changes."""
    differ = other_versions(before, after)
    same = {name: version for name, version in versions(after).items() if name not in differ}
    first = {record.cell: record for record in before}
    reasons = collections.Counter(
        why
        for record in after
        if record.cell in first and "samples" in record.latency
        if (why := incomparable(entry(first[record.cell]), entry(record))) is not None
    )
    return Diff(names[0], names[1], (len(before), len(after)), differ, same, tuple(changes), reasons)


def _provenance(found: Diff) -> list[str]:
    lines = [f"{name} {old} → {new}" for name, (old, new) in found.versions.items()]
    lines = lines or ["the same versions: " + ", ".join(f"{name} {version}" for name, version in found.same.items())]
    return lines + [f"speed of {count} cells not compared: {why}" for why, count in found.uncompared.items()]


def table(found: Diff) -> RenderableType:
    """For a terminal. Names are text, whatever markup they contain."""
    rows: list[RenderableType] = [Text(plain(f"{found.before} → {found.after}"))]
    rows += [Text(plain(line), style="bold" if found.versions else "dim") for line in _provenance(found)]
    if found.changes:
        rows.append(change_table(found.changes))
    return Group(*rows, Text(found.summary, style="red" if found.worse else "green"))


def change_table(changes: Sequence[Change], *, style: str | None = None) -> Table:
    """The rows of changes, for a terminal."""
    body = Table(box=None, pad_edge=False)
    for column in ("kind", "cell", "what"):
        body.add_column(column, overflow="fold")
    for change in changes:
        body.add_row(Text(change.kind, style=style or STYLES[change.kind]), Text(plain(change.cell)), Text(plain(change.what)))
    return body


def markdown(found: Diff) -> str:
    """For a pull request or a step summary."""
    lines = [f"**{escape(found.summary)}**", "", f"{escape(found.before)} → {escape(found.after)}", ""]
    lines += [f"- {escape(line)}" for line in _provenance(found)]
    if found.changes:
        lines += ["", change_lines(found.changes)]
    return "\n".join(lines) + "\n"


def change_lines(changes: Sequence[Change]) -> str:
    """The rows of changes as a Markdown table."""
    rows = [f"| {change.kind} | {escape(change.cell)} | {escape(change.what)} |" for change in changes]
    return "\n".join(["| Kind | Cell | What |", "| --- | --- | --- |", *rows])


_HARMLESS: Mapping[str, str] = {mark: f"\\{mark}" for mark in "\\`*_[]()#|~!"} | {mark: f"&#{ord(mark)};" for mark in "&<>@"}


def escape(text: str) -> str:
    """Text from outside as one line that is no Markdown, no HTML, no mention and no link, and ends no table row."""
    inert = "".join(_HARMLESS.get(letter, letter) for letter in plain(text))
    return inert.replace("://", "&#58;//").replace("www.", "www&#46;")  # GitHub makes links of bare addresses


def plain(text: str) -> str:
    """One line of what can be printed, not too long: nothing that a terminal obeys."""
    flat = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return flat if len(flat) <= 600 else flat[:599] + "…"


_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ found.summary }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e; --line: #d1d9e0;
        --worse: #b3261e; --better: #14713a; --other: #7a5200; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa5b1; --line: #30363d; --worse: #ff8a80; --better: #5fd38d;
          --other: #e3b341; }
}
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem;
       padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
p, li { color: var(--soft); overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }
td:first-child { font-family: ui-monospace, monospace; width: 35%; }
.worse { color: var(--worse); } .better { color: var(--better); } .other { color: var(--other); }
@media (max-width: 40rem) { td, th { display: block; width: auto; border: 0; padding: 0; } td:first-child { width: auto; }
  tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; } thead { display: none; } }
</style>
<h1>{{ found.summary }}</h1>
<p>{{ found.before }} → {{ found.after }}</p>
<ul>
{% for line in provenance %}
<li>{{ line }}</li>
{% endfor %}
</ul>
{% for kind, changes in groups.items() %}
<h2 class="{{ classes[kind] }}">{{ kind }} ({{ changes | length }})</h2>
<table>
<thead><tr><th scope="col">cell</th><th scope="col">what</th></tr></thead>
<tbody>
{% for change in changes %}
<tr><td>{{ change.cell }}</td><td>{{ change.what }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
</html>
"""
)


def html(found: Diff) -> str:
    """A page of its own: no script, nothing from the network, light and dark."""
    groups = {kind: [change for change in found.changes if change.kind == kind] for kind in found.counts}
    classes = {kind: "worse" if kind in WORSE else "better" if kind in BETTER else "other" for kind in KINDS}
    return _PAGE.render(found=found, groups=groups, classes=classes, provenance=_provenance(found)) + "\n"


def as_mapping(changes: Sequence[Change]) -> list[dict[str, object]]:
    """Changes for JSON."""
    return [asdict(change) for change in changes]
