"""The ``zoo`` application, its two consoles, and how things are printed on them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.inert import InertHook
from conformance.record import GREEN
from zoo.errors import unknown

app = typer.Typer(
    name="zoo",
    help="Models whose support for ExecuTorch is proved: export them, run them, compare them with eager PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _console(**options: Any) -> Console:
    """A console on which names and messages from outside cannot move the cursor, retitle the window or turn text around."""
    console = Console(soft_wrap=True, highlight=False, **options)
    console.push_render_hook(InertHook())
    return console


out = _console()

err = _console(stderr=True)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def columns(*rows: Sequence[str]) -> None:
    """Print rows below each other, aligned; names stay whole however narrow the terminal is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.print(Text("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()))


def new_table(*columns: str, **options: Any) -> Table:
    """A table that breaks long words over lines rather than cutting them."""
    table = Table(**options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def style(status: str) -> str:
    return "green" if status == "pass" else "yellow" if status in GREEN else "red"


def notice(stock_lowering: bool) -> None:
    """Say once if lowering is slower than it could be."""
    from exporters.lowering import notice

    line = None if stock_lowering else notice()
    if line:
        err.print(Text(line), style="yellow")


def check_format(format: str, allowed: Sequence[str]) -> None:
    if format not in allowed:
        raise unknown("format", format, allowed)


def deliver(what: Any, output: Path | None) -> None:
    """Print a report, or write it to a file."""
    if output is None:
        if isinstance(what, str):
            out.print(Text(what), end="")
        else:
            out.print(what)
        return
    if not isinstance(what, str):
        plain = Console(file=io.StringIO(), width=160, highlight=False)
        plain.push_render_hook(InertHook())
        plain.print(what)
        what = plain.file.getvalue()  # type: ignore[attr-defined]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(what, encoding="utf-8")
    err.print(Text(f"wrote {output}"))
