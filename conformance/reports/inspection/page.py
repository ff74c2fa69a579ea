"""One page of HTML that shows where a program's bytes and operators are. It has no script, and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from conformance.reports.inspection import words
from conformance.reports.inspection.treemap import Box, squarify
from exporters.inspection.facts import Inspection, Method, Part

TILES = 60
"""Parts of a kind that a treemap shows one by one; it shows the others together."""
LAYOUTS = {"wide": (1000.0, 420.0), "narrow": (360.0, 480.0)}
"""Shapes of treemaps, in pixels: of windows, and of phones."""
COLOURS = ("program", "constants", "mutable", "delegate", "named data", "unreferenced", "padding")


@dataclass(frozen=True)
class Tile:
    """A rectangle of a treemap, in percent of its sides."""

    kind: str
    label: str
    size: str
    x: float
    y: float
    width: float
    height: float
    room: bool
    """Whether its label fits."""


@dataclass(frozen=True)
class Bar:
    """A bar of a chart."""

    label: str
    library: str
    count: int
    delegated: bool
    percent: float
    """Of the longest bar."""


def render(found: Inspection) -> str:
    """The page; the same program gives the same page."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"plain": words.plain, "size": words.size, "answer": words.answer}
    shared = (resources.files("conformance.reports.dashboard") / "style.css").read_text(encoding="utf-8")
    style = f"{shared}\n{_source('page.css')}"
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    kinds = found.bytes_by_kind()
    return environment.get_template("page.html.j2").render(
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        style=style,
        found=found,
        words=words,
        kinds=kinds,
        classes={kind: f"kind-{number}" for number, kind in enumerate(COLOURS, start=1)},
        treemaps={name: treemap(found.parts, *shape) for name, shape in LAYOUTS.items()},
        largest=sorted(found.parts, key=lambda part: -part.bytes)[:20],
        bars={method.name: bars(method) for method in found.methods},
    )


def write_page(path: Path, found: Inspection) -> int:
    """Write the page; returns its size in bytes."""
    text = render(found).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return len(text)


def treemap(parts: Sequence[Part], width: float, height: float) -> list[Tile]:
    """A file as rectangles: its kinds of parts, and in each its parts."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for part in parts:
        if part.bytes:
            groups.setdefault(part.kind, []).append((label(part), part.bytes))
    ordered = sorted(groups.items(), key=lambda item: -sum(count for _, count in item[1]))
    outer = squarify([sum(count for _, count in entries) for _, entries in ordered], Box(0, 0, width, height))
    tiles = []
    for (kind, entries), box in zip(ordered, outer, strict=True):
        shown = _together(sorted(entries, key=lambda entry: -entry[1]), box)
        for (name, count), inner in zip(shown, squarify([count for _, count in shown], box), strict=True):
            tiles.append(_tile(kind, name, count, inner, width, height))
    return tiles


def _together(entries: list[tuple[str, int]], box: Box) -> list[tuple[str, int]]:
    """The largest entries, and one for those that would be too small to see."""
    total = sum(count for _, count in entries)
    visible = [entry for entry in entries[:TILES] if entry[1] / total * box.width * box.height >= 40]
    rest = entries[len(visible) :]
    if len(rest) < 2:
        return entries
    visible.append((f"{len(rest)} more", sum(count for _, count in rest)))
    return sorted(visible, key=lambda entry: -entry[1])


def _tile(kind: str, name: str, count: int, box: Box, width: float, height: float) -> Tile:
    return Tile(
        kind=kind,
        label=name,
        size=words.size(count),
        x=round(100 * box.x / width, 3),
        y=round(100 * box.y / height, 3),
        width=round(100 * box.width / width, 3),
        height=round(100 * box.height / height, 3),
        room=box.width > 68 and box.height > 38,
    )


def label(part: Part) -> str:
    """What a part is called where there is little room."""
    if part.kind == "named data":
        return words.plain(part.content or "named data")
    if part.kind == "delegate":
        return f"delegate {words.plain(part.name.rpartition(' ')[2])}"
    return words.plain(part.name) or part.kind


def bars(method: Method) -> list[Bar]:
    """The operators of a method, in delegates and outside, most called first."""
    entries: list[tuple[str, str, int, bool]] = [
        (name, "XNNPACK", count, True) for name, count in words.inner_operators(method).items()
    ]
    entries += [(one.name, one.library or "unknown library", one.calls, False) for one in method.operators]
    entries.sort(key=lambda entry: (-entry[2], entry[0]))
    longest = max((count for _, _, count, _ in entries), default=1)
    return [Bar(name, library, count, inside, round(100 * count / longest, 2)) for name, library, count, inside in entries]


def _source(name: str) -> Any:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
