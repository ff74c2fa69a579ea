"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance import matrix
from zoo.checkpoints import SCALES

Names = Annotated[list[str] | None, typer.Argument(help="Models or families; all of them when none is given.")]

Scale = Annotated[str, typer.Option(help=f"Where weights come from: {', '.join(SCALES)}, or a checkpoint directory.")]

Tier = Annotated[str, typer.Option(help=f"Which configurations of a model: {', '.join(matrix.TIERS)}.")]

Exported = Annotated[Path, typer.Argument(help="A directory that 'zoo export' wrote, or a .pte.")]

TokenizerPlace = Annotated[Path | None, typer.Option(help="Directory with tokenizer.json (default: where the .pte lies).")]

Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of the runtime.")]

Timeout = Annotated[float, typer.Option(min=0, max=1e6, help="Seconds that it may take; 0 for as long as it takes.")]

Memory = Annotated[
    float,
    typer.Option(min=0, max=65536, help="GiB it may use, mapped files aside; 0 for 80 % of the machine's or the container's."),
]

Best = Annotated[int, typer.Option(min=1, help="How many answers to show.")]

Stock = Annotated[
    bool,
    typer.Option(
        "--stock_lowering", "--stock-lowering", help="Lower as ExecuTorch does, without our accelerations: same bytes, later."
    ),
]

Root = Annotated[Path, typer.Option(help="The project's directory.")]

Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file instead of printing it.")]

Only = Annotated[list[str] | None, typer.Option("--configuration", "-c", help="Only this configuration id; may be repeated.")]
