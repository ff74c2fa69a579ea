"""The command that compares a file with a model: check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from conformance.cli.console import app, check_format, err, new_table, out, style
from conformance.cli.options import Exported, Scale, Threads
from zoo import registry
from zoo.errors import unknown
from zoo.model import TASKS

if TYPE_CHECKING:
    from conformance.checking import Verdict

FORMATS = ("table", "json")


@app.command()
def check(
    artifact: Exported,
    model: Annotated[str, typer.Option(help="What it is said to be: a registry name, a checkpoint directory, or a hub id.")],
    task: Annotated[
        str | None, typer.Option(help="What the model does (default: as export.json or the checkpoint says).")
    ] = None,
    scale: Scale = "twin",
    revision: Annotated[str | None, typer.Option(help="Commit or branch of a hub id.")] = None,
    max_seq_len: Annotated[
        int | None,
        typer.Option("--max_seq_len", "--max-seq-len", min=2, help="Positions of the cache, of a program that does not say."),
    ] = None,
    threads: Threads = 1,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the comparison may take.")] = 1800.0,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
) -> None:
    """Compare a program, whoever exported it, with its model in eager PyTorch. Exit code 0 is a pass, 1 everything else."""
    from conformance import checking, shipping
    from conformance.inference.base import program_of
    from conformance.worker import Limits

    check_format(format, FORMATS)
    program = program_of(artifact)
    row = registry.models().get(model)
    task = task or (row.task if row is not None else None)
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    with err.status("comparing with eager PyTorch"):
        checkpoint = shipping.checkpoint(model, scale=scale, revision=revision)
        verdict = checking.check(
            program,
            checkpoint,
            task=task,
            model=model,
            trained=scale != "full",
            max_seq_len=max_seq_len,
            threads=threads,
            limits=Limits(seconds=timeout),
        )
    if format == "json":
        out.print(Text(verdict.model_dump_json(indent=1)))
    else:
        _show(verdict)
    if verdict.status != "pass":
        raise typer.Exit(1)


def _show(verdict: Verdict) -> None:
    """Print a verdict as a table."""
    table = new_table("check", "result", "figures")
    for row in verdict.rows:
        colour = {"pass": "green", "not compared": "yellow"}.get(row.result, "red")
        table.add_row(Text(row.check), Text(row.result, style=colour), Text(row.message))
    out.print(table)
    status = f"{verdict.status}: {verdict.program} against {verdict.model}"
    out.print(Text(status if verdict.status == "pass" else f"{status}: {verdict.message}"), style=style(verdict.status))
