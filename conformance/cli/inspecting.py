"""The command that looks into a program: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from conformance.cli.console import app, check_format, deliver, new_table, out
from conformance.cli.options import Exported, Output
from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from exporters.inspection import Inspection
    from exporters.inspection.facts import Method

OPERATORS = 40
"""Operators that a terminal shows of a method, in delegates and outside; the other formats have them all."""


@app.command()
def inspect(
    program: Exported,
    format: Annotated[str, typer.Option(help="How: table or json.")] = "table",
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture of the bytes and operators instead.")] = None,
    output: Output = None,
) -> None:
    """Show what is in a .pte, whoever exported it: methods, operators, delegates, memory, weights, size by part."""
    from exporters.inspection import inspect

    check_format(format, ("table", "json"))
    if html is not None and (output is not None or format != "table"):
        raise ConformanceError("--html writes a page of its own; leave out --output and --format.")
    found = inspect(program)
    if html is not None:
        from conformance.reports.inspection import write_page

        written = write_page(html, found)
        out.print(Text(f"wrote {html}: {written / 2**10:.0f} KiB"))
        return
    deliver(f"{found.model_dump_json(indent=1)}\n" if format == "json" else _report(found), output)


def _report(found: Inspection) -> Group:
    from conformance.reports.inspection import words

    size = words.size(found.file.bytes)
    lines: list[RenderableType] = [
        Text(f"{words.plain(found.file.name)}: {size}, schema {words.plain(found.file.identifier)}", style="bold"),
        Text(words.account(found), style="yellow" if found.account is not None and not found.account.matches else ""),
        Text(f"sha256 {found.file.sha256}\n"),
    ]
    table = new_table("part", "bytes", "share", "what it is", title="size by part", title_justify="left")
    for kind, count in found.bytes_by_kind().items():
        table.add_row(kind, words.size(count), f"{count / found.file.bytes:.1%}", words.KINDS[kind])
    lines += [table, Text()]
    if found.weights:
        table = new_table("type", "where", "tensors", "bytes", title="weights", title_justify="left")
        for row in found.weights:
            told = words.plain(row.dtype) + (" (scales)" if row.role == "scales" else "")
            table.add_row(Text(told), row.place, str(row.tensors), words.size(row.bytes))
        lines += [table, Text()]
    for method in found.methods:
        lines += _method(method)
    if any(method.delegates for method in found.methods):
        lines.append(Text(f"{words.SHARES}{_at_export(found)}\n", style="dim"))
    if found.constant_methods:
        table = new_table("constant method", "value")
        for name, value in found.constant_methods.items():
            table.add_row(Text(words.plain(name)), Text(words.answer(value)))
        lines.append(table)
    return Group(*lines)


def _at_export(found: Inspection) -> str:
    share = found.account.delegation if found.account is not None else None
    return "" if share is None else f" That was {share.share:.0%} ({share.delegated} and {share.undelegated}) here."


def _method(method: Method) -> list[RenderableType]:
    from conformance.reports.inspection import words

    lines: list[RenderableType] = [Text(f"method {words.plain(method.name)}", style="bold")]
    for title, values in (("inputs", method.inputs), ("outputs", method.outputs)):
        lines.append(Text(f"  {title}: {words.plain('; '.join(map(words.value, values))) or 'none'}"))
    counts = ", ".join(f"{count} {kind}" for kind, count in method.instructions.items())
    lines.append(Text(f"  instructions: {counts or 'none'}"))
    for backend, (count, size) in words.backends(method).items():
        lines.append(Text(f"  {words.plain(backend)}: {count} delegates, {words.size(size)} besides named data"))
    lines.append(Text(f"  in delegates: {words.delegated(method)}"))
    buffers = ", ".join(f"buffer {buffer.id} {words.size(buffer.bytes)} on {buffer.device}" for buffer in method.memory)
    lines.append(Text(f"  planned memory: {words.plain(buffers) or 'none'}"))
    table = new_table("operator", "where", "calls")
    rows = [(one.name, one.library or "unknown library", one.calls) for one in method.operators]
    inner = [(name, "in a delegate", count) for name, count in words.inner_operators(method).items()]
    for group in (inner, rows):
        for name, where, count in group[:OPERATORS]:
            table.add_row(Text(words.plain(name)), where, str(count))
        if len(group) > OPERATORS:
            table.add_row(Text(f"{len(group) - OPERATORS} more"), "", str(sum(count for _, _, count in group[OPERATORS:])))
    if table.row_count:
        lines.append(table)
    lines.append(Text())
    return lines
