"""Commands about what is registered: list, show, matrix, new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from conformance import matrix
from conformance.cli.console import app, columns, count, out
from conformance.cli.options import Names, Root, Tier
from zoo import registry
from zoo.model import Model


@app.command("list")
def list_models(
    task: Annotated[str | None, typer.Option(help="Only the models of this task.")] = None,
    configurations: Annotated[bool, typer.Option("--configurations", help="Show each task's configurations, too.")] = False,
) -> None:
    """Show the models of the registry."""
    rows = registry.by_task(task) if task is not None else tuple(registry.models().values())
    columns(
        ("model", "family", "task", "published checkpoint"),
        *((row.name, row.family, row.task, row.hub_id or "–") for row in rows),
    )
    for task_name, wrapper in dict.fromkeys((row.task, row.wrapper) for row in rows) if configurations else ():
        out.print(Text(f"\n{task_name} with {wrapper} runs under ('zoo matrix' says what else):"))
        for name in matrix.CORE[wrapper]:
            out.print(Text(f"  {name}"))


@app.command()
def show(name: Annotated[str, typer.Argument(help="A model's name.")]) -> None:
    """Show all that the registry knows of one model."""
    row = registry.get(name)
    table = Table(box=None, show_header=False, pad_edge=False)
    source = "none" if row.hub_id is None else f"{row.hub_id} ({row.revision or 'unpinned'})"
    for label, value in (
        ("model", row.name),
        ("family", f"{row.family} ({_file(row)})"),
        ("task", row.task),
        ("wrapper", row.wrapper),
        ("methods", ", ".join(row.methods)),
        ("published checkpoint", source),
        ("prompts", "\n".join(prompt.text for prompt in row.reference_prompts)),
        ("twin", _twin(row)),
        ("full", _pairs(dict(row.full)) or "not stated"),
        ("configurations", "\n".join(matrix.configurations(row))),
        ("run it", f"zoo run {row.name}   or   pytest -k {row.family}"),
    ):
        table.add_row(f"{label}:", Text(value))
    out.print(table)


def _file(row: Model) -> str:
    """The file that a row is in."""
    file = registry.file_of(row.name)
    return f"zoo/models/{row.family}.py" if file is None else os.path.relpath(file)


def _twin(row: Model) -> str:
    """How a model's twin is made, or what takes its place."""
    if not row.has_twin:
        return f"none; in its place {row.checkpoint}" if row.checkpoint is not None else "none"
    size = {"max_seq_len": row.twin.max_seq_len} if row.twin.image_size is None else {"image_size": row.twin.image_size}
    return _pairs({"model_type": row.twin.model_type, **size, **row.twin.config})


def _pairs(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {list(value) if isinstance(value, tuple) else value}" for name, value in values.items())


@app.command("matrix")
def show_matrix(
    names: Names = None,
    tier: Tier = "default",
) -> None:
    """Show which configurations would run, and why the rest would not."""
    chosen = matrix.cells(registry.select(tuple(names or ())), tier=tier)
    columns(
        ("model", "configuration", ""),
        *(
            (cell.model.name, cell.configuration, "runs" if cell.inapplicable is None else f"no: {cell.inapplicable}")
            for cell in chosen
        ),
    )
    run = [cell for cell in chosen if cell.inapplicable is None]
    used = {pair for cell in run for pair in matrix.pairs(cell.configuration)}
    possible = matrix.possible_pairs()
    out.print(
        Text(
            f"\ntier {tier}: {count(len(run), 'cell')} of {count(len({cell.model.name for cell in chosen}), 'model')}, "
            f"{len(chosen) - len(run)} not applicable; {len(used & possible)} of the {len(possible)} possible pairs of options"
        )
    )
    out.print(Text("\nNever run, because the exporter refuses it:"))
    for options, reason in matrix.refused():
        out.print(Text(f"  {options}: {reason}"))


@app.command()
def new(
    family: Annotated[str, typer.Argument(help="Name of the family and of its two files, such as olmo2.")],
    task: Annotated[str, typer.Option(help="What its models do, as the Hub names it.")] = "text-generation",
    model_type: Annotated[
        str | None, typer.Option("--model-type", help="transformers' model_type (default: the family's name).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name (default: the family's).")] = None,
    hub_id: Annotated[str | None, typer.Option("--hub-id", help="The published checkpoint: organisation/model.")] = None,
    root: Root = Path(),
) -> None:
    """Write the registry row and the test file of a new family, ready to run."""
    from conformance.scaffold import new_family

    files = new_family(root, family, task=task, model_type=model_type, name=name, hub_id=hub_id)
    for path in files:
        out.print(Text(f"wrote {path}"))
    out.print(Text(f"run it: pytest -k {family}   or   zoo run {family}"))
