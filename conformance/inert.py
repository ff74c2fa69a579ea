"""Texts from outside without what a terminal obeys or what shows letters in another order than they stand in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"
"""Persian, Indic scripts and emoji need them; they move nothing."""


def _harmful(letter: str) -> bool:
    """Control characters (C0 and C1, ESC and CSI among them), marks of direction and other invisible ones, lone surrogates."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in _JOINERS


def inert(text: str, *, keep: str = "\n\t") -> str:
    """The text with U+FFFD for every character that is not shown but obeyed; those of ``keep`` stay, and so do line ends."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n") if "\n" in keep else text
    return "".join(REPLACEMENT if _harmful(letter) and letter not in keep else letter for letter in lines)


def inert_line(text: str) -> str:
    """The text as one line."""
    return inert(" ".join(text.split()), keep="")


def inert_values(value: Any) -> Any:
    """A value of JSON with all of its texts inert, names of members too."""
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, Mapping):
        return {inert_values(name): inert_values(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [inert_values(entry) for entry in value]
    return value


class _Inert:
    """What rich shows of a renderable, inert. Rich's ``Text`` takes BEL, BS, VT, FF and CR out, and leaves ESC in (15.0)."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(inert(segment.text), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.inner)


class InertHook(RenderHook):
    """A hook of a rich console (``Console.push_render_hook``): whatever is printed there is inert, rich's own colours stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Called by rich with what it is to print."""
        return [_Inert(each) for each in renderables]
