"""``zoo export --format pt2`` and ``onnx``: what is refused, exported, checked and printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from conformance.cli.console import check_format, err, out, style
from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from exporters.artifact import StageTime
    from exporters.llm_config import Request

_HOW = "it says how a program is lowered"
LOWERING = {
    "recipe": _HOW,
    "stock_lowering": _HOW,
    "profile": "it times the passes that lower a program",
    "profile_path": "it shows the calls that lower a program",
    "verbose": "it tells which operators are delegated",
    "etrecord": "it records how a program was lowered",
    "profile_memory": "it shows the memory that is planned for a program",
    "output_name": "it names a .pte",
}
"""Options that say how a ``.pte`` is made, and mean nothing where none is."""


def refuse(request: Request, said: Collection[str] = ()) -> None:
    """Refuse what was asked for and the format cannot honour; ``said`` are the options that stand on the command line.

    Raises:
        ConformanceError: an option of lowering was given, or there is no such format.
        ExportError: as ``exporters.graphs.refuse``.
    """
    from exporters import graphs

    check_format(request.format, graphs.FORMATS)
    asked = dataclasses.asdict(request) | {"recipe": request.config.recipe}
    usual = dataclasses.asdict(type(request)()) | {"recipe": type(request)().config.recipe}
    for option, reason in LOWERING.items():
        if option in said or asked[option] != usual[option]:
            raise ConformanceError(
                f"--{option}: {reason}, and --format {request.format} lowers nothing. Leave it out, or take --format pte."
            )
    graphs.refuse(request.config, request.format)


def export(request: Request, checkpoint: Path, task: str) -> None:
    """Export, check and print."""
    from conformance import shipping
    from exporters import graphs
    from exporters.errors import ExportError

    config, format, output, check = request.config, request.format, Path(request.output_dir), request.check
    stage = "resolve"

    def on_stage(name: str, ended: StageTime | None) -> None:
        nonlocal stage
        stage = name
        status.update(f"{format}: {name}")

    with err.status("importing") as status:
        try:
            made = graphs.export(checkpoint, config, output, task=task, format=format, check=check, on_stage=on_stage)
        except (ExportError, OSError, MemoryError):
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ConformanceError(f"the export failed at stage {stage}: {type(error).__name__}: {reason}") from error
        shipping.copy_companions(checkpoint, output)
    seconds = ", ".join(f"{done.name} {done.seconds:.1f} s" for done in made.account.stages)
    for method, file in made.account.methods.items():
        data = f" with {file.data}" if file.data else ""
        opset = f", opset {file.opset_version}" if file.opset_version else ""
        out.print(Text(f"{made.path(method)}: {file.bytes + file.data_bytes} bytes{data}{opset}, {config.dtype} ({seconds})"))
    if not check:
        return
    if made.account.wrapper in ("Seq2SeqLMExportableModule", "MultiModalTextToTextExportableModule"):
        out.print(Text("pass: each program answers what its module answers in eager PyTorch"), style="green")
        return
    with err.status("comparing with eager PyTorch"):
        from conformance.checking import graphs as checking

        verdict = checking.check(made, checkpoint, trained=request.scale != "full")
    out.print(Text(f"{verdict.status}: {verdict.message}"), style=style(verdict.status))
    if verdict.status != "pass":
        raise typer.Exit(1)
