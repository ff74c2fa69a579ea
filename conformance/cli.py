"""The ``zoo`` command.

Exit codes: 0 all is well; 1 something was found (a cell is not green, a report has drifted, a check failed); 2 the command
was given something it cannot use.
"""

from __future__ import annotations

import collections
import contextlib
import io
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeoutError
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance import matrix
from conformance.errors import ConformanceError
from conformance.matrix import Cell
from conformance.quiet import quiet
from conformance.record import GREEN, Record
from conformance.reports import figures
from conformance.reports.generated import RECORDS, drifted, write_reports
from conformance.sessions.protocol import SessionError
from exporters.config import ExportConfig
from exporters.errors import ExportError
from zoo import registry
from zoo.checkpoints import SCALES, check_scale
from zoo.errors import ZooError, unknown
from zoo.model import TASKS

if TYPE_CHECKING:
    from exporters.artifact import StageTime

app = typer.Typer(
    name="zoo",
    help="Models whose support for ExecuTorch is proved: export them, run them, compare them with eager PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

WIDEST = 6
"""Configurations that a table of a run has columns for."""

Names = Annotated[list[str] | None, typer.Argument(help="Models or families; all of them when none is given.")]
Scale = Annotated[str, typer.Option(help=f"Where weights come from: {', '.join(SCALES)}, or a checkpoint directory.")]
Tier = Annotated[str, typer.Option(help=f"Which configurations of a model: {', '.join(matrix.TIERS)}.")]
Exported = Annotated[Path, typer.Argument(help="A directory that 'zoo export' wrote, or a .pte.")]
TokenizerPlace = Annotated[Path | None, typer.Option(help="Directory with tokenizer.json (default: where the .pte lies).")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of the runtime.")]
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


@app.command("list")
def list_models(
    task: Annotated[str | None, typer.Option(help="Only the models of this task.")] = None,
    configurations: Annotated[bool, typer.Option("--configurations", help="Show each task's configurations, too.")] = False,
) -> None:
    """Show the models of the registry."""
    rows = registry.by_task(task) if task is not None else tuple(registry.models().values())
    _columns(
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
    size = {"max_seq_len": row.twin.max_seq_len} if row.twin.image_size is None else {"image_size": row.twin.image_size}
    twin = {"model_type": row.twin.model_type, **size, **row.twin.config}
    source = "none" if row.hub_id is None else f"{row.hub_id} ({row.revision or 'unpinned'})"
    for label, value in (
        ("model", row.name),
        ("family", f"{row.family} (zoo/models/{row.family}.py)"),
        ("task", row.task),
        ("wrapper", row.wrapper),
        ("methods", ", ".join(row.methods)),
        ("published checkpoint", source),
        ("prompts", "\n".join(prompt.text for prompt in row.reference_prompts)),
        ("twin", _pairs(twin)),
        ("full", _pairs(dict(row.full)) or "not stated"),
        ("configurations", "\n".join(matrix.configurations(row))),
        ("run it", f"zoo run {row.name}   or   pytest -k {row.family}"),
    ):
        table.add_row(f"{label}:", Text(value))
    out.print(table)


def _pairs(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {list(value) if isinstance(value, tuple) else value}" for name, value in values.items())


@app.command()
def run(
    context: typer.Context,
    names: Names = None,
    configuration: Annotated[
        list[str] | None, typer.Option("--configuration", "-c", help="Only this configuration id; may be repeated.")
    ] = None,
    tier: Tier = "default",
    scale: Scale = "twin",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cells at a time, each in a process of its own.")] = 2,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of PyTorch and of the runtime in a cell.")] = 1,
    max_seq_len: Annotated[
        int | None,
        typer.Option("--max_seq_len", "--max-seq-len", min=2, help="Cache length (default: the twin's, or 128)."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, max=1e6, help="Seconds one cell may take.")] = 1800,
    memory: Annotated[float, typer.Option(min=0, max=65536, help="GiB one cell may use; 0 for 80 % of the machine's.")] = 0,
    records: Annotated[
        Path | None, typer.Option(help="Merge the records into this file or directory, such as reports/records.")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="Only this part of the cells: 2/5 is the second of five.")] = None,
    durations: Annotated[
        Path | None, typer.Option(help=f"The records whose durations shards are cut by (default: {RECORDS}, if it is there).")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--run", help="The run's directory (default: a new one in .zoo/runs).")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the interrupted run of this directory.")] = None,
    stock_lowering: Stock = False,
) -> None:
    """Run cells (models under configurations) and print what holds."""
    from conformance import record as store
    from conformance import runs
    from conformance.sharding import Shard
    from conformance.worker import Limits, Runner, new_run

    given = {name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    options = {"scale": scale, "threads": threads, "max_seq_len": max_seq_len, "stock_lowering": stock_lowering}
    part = None if shard is None else Shard.parse(shard)
    selection = None
    if resume is None or given & {"names", "configuration", "tier"}:
        selection = matrix.cells(registry.select(tuple(names or ())), tuple(configuration or ()), tier=tier)
    check_scale(scale)
    if durations is not None and (shard is None or resume is not None):
        raise ConformanceError("--durations goes with the --shard of a new run; leave it out.")
    if resume is not None and directory is not None:
        raise ConformanceError(f"--resume {resume} names the directory already; leave --run out.")
    if directory is not None:
        runs.check_new(directory)
    if resume is not None:
        asked = {name: value for name, value in options.items() if name in given}
        opened = runs.resumed(resume, selection=selection, options=asked, shard=part)
    else:
        if max_seq_len is not None and scale == "twin":
            raise ConformanceError("--max_seq_len does not apply to twins, whose length is stated in the registry (Twin).")
        known = _durations(durations) if part is not None else ()
        opened = runs.planned(selection or (), options=options, shard=part, durations=known)
    if records is not None:
        if opened.shard is not None:
            raise ConformanceError("--records does not go with --shard: 'zoo merge' puts the records of shards together.")
        store.check_mergeable(records, scale=opened.options["scale"])
    if resume is None:
        directory = directory or new_run(Path.cwd() / ".zoo")
        runs.start(directory, opened)
    place = resume or directory or Path()
    chosen = runs.cells_of(opened.cells)
    _notice(opened.options["stock_lowering"])
    with runs.held(place):
        if resume is not None:
            err.print(Text(f"{runs.restore_records(place)} of {_count(len(chosen), 'cell')} done before"))
        limits = Limits(seconds=timeout, memory_bytes=int(memory * 2**30))
        runner = Runner(place, options=opened.options, limits=limits)
        found, interrupted = _run_cells(runner, chosen, jobs)
    out.print()
    out.print(_summary(found, chosen))
    for record in found:
        if record.reason:
            out.print(Text(f"{record.status}: {record.cell}: {record.reason}"))
    if records is not None:
        store.merge(records, found)
    out.print(Text(f"records: {records or runner.records}"))
    if interrupted:
        err.print(Text(f"interrupted: {len(found)} of {_count(len(chosen), 'cell')} done"))
        err.print(Text(f"the rest: zoo run --resume {place}"))
        raise typer.Exit(130)
    if any(record.status not in GREEN for record in found):
        raise typer.Exit(1)


def _durations(path: Path | None) -> list[Record]:
    """The records whose durations shards are cut by; none if the default ones are not there."""
    from conformance import record as store

    if path is not None or RECORDS.exists():
        return store.read(path or RECORDS)
    err.print(
        Text(f"no {RECORDS} here: every cell counts as long as any other (--durations names other records)"), style="yellow"
    )
    return []


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="Run directories, or files of records.")],
    into: Annotated[Path, typer.Option(help="Merge the records into this file or directory.")],
) -> None:
    """Put the records of shards together, and say which cells are missing."""
    from conformance import merging
    from conformance import record as store

    merged = merging.merge([merging.load(path) for path in parts])
    for scale in dict.fromkeys(record.scale for record in merged.records):
        store.check_mergeable(into, scale=scale)
    store.merge(into, merged.records)
    out.print(Text(f"{_count(len(merged.records), 'record')} of {_count(len(parts), 'part')}: {into}"))
    for finding in merged.findings:
        err.print(Text(finding), style="red")
    if merged.findings:
        raise typer.Exit(1)


@app.command("export-records")
def export_records(
    records: Annotated[Path | None, typer.Option(help=f"Records, or the directory of a run (default: {RECORDS}).")] = None,
    ctrf: Annotated[Path | None, typer.Option(help="Write a CTRF report (JSON).")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table, a row a cell.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the table as Parquet; needs executorch-zoo[analysis].")] = None,
    step_summary: Annotated[bool, typer.Option("--step-summary", help="Append a summary to $GITHUB_STEP_SUMMARY.")] = False,
) -> None:
    """Write records in the formats that other tools read."""
    from conformance.merging import load
    from conformance.reports.ctrf import render_ctrf
    from conformance.reports.junit import render_junit
    from conformance.reports.step_summary import append_summary
    from conformance.reports.tabular import render_csv, write_parquet

    if not (ctrf or junit or csv or parquet or step_summary):
        raise ConformanceError("say what to write: --ctrf, --junit, --csv, --parquet (each with a file), or --step-summary.")
    found = load(records or RECORDS).records
    for path in (ctrf, junit, csv, parquet):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    for path, render in ((ctrf, render_ctrf), (junit, render_junit), (csv, render_csv)):
        if path is not None:
            path.write_text(render(found), encoding="utf-8", newline="")
            out.print(Text(f"wrote {path}"))
    if parquet is not None:
        write_parquet(parquet, found)
        out.print(Text(f"wrote {parquet}"))
    if step_summary:
        out.print(Text(f"wrote {append_summary(found)}"))


@app.command()
def changed(
    base: Annotated[str, typer.Option(help="What the branch is compared with, from where it left it.")] = "origin/main",
    form: Annotated[
        str, typer.Option("--format", help="text: a family a line; github: what $GITHUB_OUTPUT takes (families, everything).")
    ] = "text",
    root: Root = Path(),
) -> None:
    """Name the families that a branch changed."""
    from conformance.changed import since

    if form not in ("text", "github"):
        raise unknown("--format", form, ("text", "github"))
    found = since(base, root)
    if form == "github":
        out.print(Text(f"families={' '.join(found.families)}\neverything={str(found.everything).lower()}"))
        return
    for family in found.families:
        out.print(Text(family))
    if found.everything:
        err.print("code of every model was changed: zoo run --tier smoke")


def _notice(stock_lowering: bool) -> None:
    """Say once if lowering is slower than it could be."""
    from exporters.lowering import notice

    line = None if stock_lowering else notice()
    if line:
        err.print(Text(line), style="yellow")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _run_cells(runner: Any, cells: Sequence[Cell], jobs: int) -> tuple[list[Record], bool]:
    """Run cells side by side, with a line for each on the way.

    Returns:
        The records, and whether the run was interrupted before all were there.
    """
    from conformance import suite

    tests = Path.cwd() / "tests"
    known = {cell.model.name: suite.discover(cell.model, tests) for cell in cells}
    found: dict[str, Record] = {}
    began = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool, err.status("starting") as status:
        pending = {pool.submit(runner.record, cell, known[cell.model.name]): cell for cell in cells}
        try:
            for future in _completed(pending, runner, status):
                cell = pending[future]
                record = found[cell.name] = future.result()
                seconds = sum(stage.seconds for stage in record.stages if not stage.cached)
                err.print(
                    Text(f"[{len(found)}/{len(cells)}] {record.status:<14} {cell.name}  {seconds:.1f} s"),
                    style=_style(record.status),
                )
        except KeyboardInterrupt:
            for future in pending:
                future.cancel()
            runner.stop()
    err.print(f"{_count(len(found), 'cell')} in {time.monotonic() - began:.0f} s")
    return [found[cell.name] for cell in cells if cell.name in found], len(found) < len(cells)


def _completed(pending: dict[Any, Cell], runner: Any, status: Any) -> Any:
    """The futures as they complete; meanwhile the status line names the stage of each running cell."""
    left = dict(pending)
    while left:
        try:
            for future in as_completed(list(left), timeout=0.5):
                del left[future]
                yield future
        except FuturesTimeoutError:  # the builtin one from Python 3.11 on
            running = [cell for future, cell in left.items() if future.running()]
            status.update("; ".join(f"{cell.name}: {runner.stage(cell) or 'starting'}" for cell in running))


def _columns(*rows: Sequence[str]) -> None:
    """Print rows below each other, aligned; names stay whole however narrow the terminal is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.print(Text("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()))


def _table(*columns: str, **options: Any) -> Table:
    """A table that breaks long words over lines rather than cutting them."""
    table = Table(**options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _style(status: str) -> str:
    return "green" if status == "pass" else "yellow" if status in GREEN else "red"


def _summary(records: Sequence[Record], cells: Sequence[Cell]) -> Table:
    """The support matrix of a run, for a terminal: a column for each configuration that several models share, and one that
    counts the others."""
    found = {(record.model, record.configuration): record for record in records}
    ids = list(dict.fromkeys(cell.configuration for cell in cells))
    if len(ids) > WIDEST:
        ids = [name for name in ids if any(name in core for core in matrix.CORE.values())]
    table = _table("model", *ids, "others", title="support matrix", title_justify="left")
    for name in dict.fromkeys(cell.model.name for cell in cells):
        others = collections.Counter(
            record.status for (model, configuration), record in found.items() if model == name and configuration not in ids
        )
        told = Text(", ".join(f"{count} {status.replace('_', ' ')}" for status, count in others.items()) or "–")
        table.add_row(Text(name), *(_summary_cell(found.get((name, configuration))) for configuration in ids), told)
    return table


def _summary_cell(record: Record | None) -> Text:
    if record is None:
        return Text("–")
    ratio = figures.speedup(record)
    speed = f" {ratio:.1f}x" if ratio is not None and record.status == "pass" else ""
    return Text(f"{record.status.replace('_', ' ')}{speed}", style=_style(record.status))


@app.command("matrix")
def show_matrix(
    names: Names = None,
    tier: Tier = "default",
) -> None:
    """Show which configurations would run, and why the rest would not."""
    chosen = matrix.cells(registry.select(tuple(names or ())), tier=tier)
    _columns(
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
            f"\ntier {tier}: {_count(len(run), 'cell')} of {_count(len({cell.model.name for cell in chosen}), 'model')}, "
            f"{len(chosen) - len(run)} not applicable; {len(used & possible)} of the {len(possible)} possible pairs of options"
        )
    )
    out.print(Text("\nNever run, because the exporter refuses it:"))
    for options, reason in matrix.refused():
        out.print(Text(f"  {options}: {reason}"))


@app.command()
def export(
    model: Annotated[str, typer.Option(help="A registry name, a checkpoint directory, or a hub id (organisation/model).")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "--output-dir", "-o", help="Where model.pte is written.")],
    task: Annotated[
        str | None, typer.Option(help="What the model does (default: what the registry says, or text-generation).")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How to lower: xnnpack or portable.")] = "xnnpack",
    dtype: Annotated[str, typer.Option(help="Type of what is not quantized: fp32, fp16, bf16.")] = "fp32",
    use_custom_sdpa: Annotated[
        bool, typer.Option("--use_custom_sdpa", "--use-custom-sdpa", help="Attention through llama::custom_sdpa.")
    ] = False,
    use_custom_kv_cache: Annotated[
        bool,
        typer.Option("--use_custom_kv_cache", "--use-custom-kv-cache", help="KV cache through llama::update_cache."),
    ] = False,
    quantize_kv_cache: Annotated[
        bool, typer.Option("--quantize_kv_cache", "--quantize-kv-cache", help="Keys and values in 8 bits.")
    ] = False,
    use_attention_sink: Annotated[
        str | None,
        typer.Option("--use_attention_sink", "--use-attention-sink", help="Keep the first and the last positions: '4,1024'."),
    ] = None,
    qlinear: Annotated[str | None, typer.Option(help="Quantize linear layers: 8da4w, 8da8w, 8w, 4w, or '8da4w,8da8w'.")] = None,
    qlinear_group_size: Annotated[
        int | None,
        typer.Option(
            "--qlinear_group_size", "--qlinear-group-size", help="Input features that share a scale; 0: one a channel."
        ),
    ] = None,
    qembedding: Annotated[str | None, typer.Option(help="Quantize the embedding: 8w or 4w.")] = None,
    qembedding_group_size: Annotated[
        int | None,
        typer.Option(
            "--qembedding_group_size", "--qembedding-group-size", help="Values of a row that share a scale; 0: one a row."
        ),
    ] = None,
    qlinear_encoder: Annotated[
        str | None,
        typer.Option("--qlinear_encoder", "--qlinear-encoder", help="As --qlinear, of the encoder before a decoder."),
    ] = None,
    qlinear_encoder_group_size: Annotated[
        int | None,
        typer.Option("--qlinear_encoder_group_size", "--qlinear-encoder-group-size", help="As --qlinear_group_size."),
    ] = None,
    qembedding_encoder: Annotated[
        str | None,
        typer.Option("--qembedding_encoder", "--qembedding-encoder", help="As --qembedding, of the encoder before a decoder."),
    ] = None,
    qembedding_encoder_group_size: Annotated[
        int | None,
        typer.Option("--qembedding_encoder_group_size", "--qembedding-encoder-group-size", help="As --qembedding_group_size."),
    ] = None,
    use_shared_embedding: Annotated[
        bool, typer.Option("--use_shared_embedding", "--use-shared-embedding", help="Store a tied embedding once.")
    ] = False,
    allow_skipped_layers: Annotated[
        bool,
        typer.Option(
            "--allow_skipped_layers",
            "--allow-skipped-layers",
            help="Leave linear layers that the group size does not divide unquantized.",
        ),
    ] = False,
    max_seq_len: Annotated[
        int | None,
        typer.Option("--max_seq_len", "--max-seq-len", help="Positions of the cache (default: the context, at most 2048)."),
    ] = None,
    max_source_len: Annotated[
        int | None,
        typer.Option(
            "--max_source_len",
            "--max-source-len",
            help="Tokens, samples or frames that an encoder reads at most (default: the context, at most 512 or 30 seconds).",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image_size", "--image-size", help="Height and width of images (default: what the checkpoint names)."),
    ] = None,
    disable_dynamic_shapes: Annotated[
        bool,
        typer.Option(
            "--disable_dynamic_shapes", "--disable-dynamic-shapes", help="One token a call; an encoder: texts of full length."
        ),
    ] = False,
    scale: Scale = "twin",
    revision: Annotated[str | None, typer.Option(help="Commit or branch of a hub id.")] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Compare the program with eager PyTorch.")] = True,
    stock_lowering: Stock = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write the times of stages and passes: profile.txt, profile.speedscope.json.")
    ] = False,
    profile_path: Annotated[
        Path | None,
        typer.Option("--profile_path", "--profile-path", help="Sample Python calls too, into this HTML page (a flame graph)."),
    ] = None,
) -> None:
    """Export a model to model.pte, with export.json and its tokenizer beside it, and check it against eager PyTorch."""
    config = ExportConfig(
        recipe=recipe,
        dtype={"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(dtype, dtype),
        use_custom_sdpa=use_custom_sdpa,
        use_custom_kv_cache=use_custom_kv_cache,
        quantize_kv_cache=quantize_kv_cache,
        use_attention_sink=use_attention_sink,
        qlinear=qlinear,
        qlinear_group_size=qlinear_group_size,
        qembedding=qembedding,
        qembedding_group_size=qembedding_group_size,
        qlinear_encoder=qlinear_encoder,
        qlinear_encoder_group_size=qlinear_encoder_group_size,
        qembedding_encoder=qembedding_encoder,
        qembedding_encoder_group_size=qembedding_encoder_group_size,
        use_shared_embedding=use_shared_embedding,
        allow_skipped_layers=allow_skipped_layers,
        dynamic_shapes=not disable_dynamic_shapes,
        max_seq_len=max_seq_len,
        max_source_len=max_source_len,
        image_size=image_size,
    )
    row = registry.models().get(model)
    task = task or (row.task if row is not None else "text-generation")
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if row is not None and task != row.task:
        raise ConformanceError(f"--task {task}: {row.name} is registered for {row.task}.")
    if output_dir.exists() and not output_dir.is_dir():
        raise ConformanceError(f"--output_dir {output_dir} is a file; give a directory.")
    if profile_path is not None and (profile_path.suffix != ".html" or not profile_path.parent.is_dir()):
        raise ConformanceError(f"--profile_path {profile_path}: give an .html file in a directory that exists.")
    from conformance import shipping

    checkpoint = shipping.checkpoint(model, scale=scale, revision=revision)
    from exporters import profile as profiling
    from exporters.pipeline import export as run_export

    stage = "quantize"

    def on_stage(name: str, ended: StageTime | None) -> None:
        nonlocal stage
        stage = name
        status.update(f"{config.id}: {name}")
        if recorded is not None:
            recorded.on_stage(name, ended)

    _notice(stock_lowering)
    with err.status("importing") as status, contextlib.ExitStack() as recording:
        recorded = recording.enter_context(profiling.profiled()) if profile else None
        if profile_path is not None:
            recording.enter_context(profiling.sampled(profile_path))
        try:
            artifact = run_export(checkpoint, config, output_dir, task=task, stock_lowering=stock_lowering, on_stage=on_stage)
        except (ExportError, OSError, MemoryError):
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ConformanceError(
                f"the export failed at stage {stage}: {type(error).__name__}: {reason} 'zoo run' records such a failure whole."
            ) from error
        shipping.copy_companions(checkpoint, output_dir)
    for skipped in artifact.account.quantization["skipped"]:
        err.print(Text(f"not quantized: {skipped['name']}: {skipped['reason']}"), style="yellow")
    stages = ", ".join(f"{done.name} {done.seconds:.1f} s" for done in artifact.account.stages)
    out.print(Text(f"{artifact.program}: {artifact.account.file.bytes} bytes, {config.id} ({stages})"))
    written = [profile_path] if profile_path is not None else []
    if recorded is not None:
        written = [*recorded.write(output_dir), *written]
        out.print(Text(recorded.table()))
    for path in written:
        out.print(Text(f"wrote {path}"))
    if check:
        with err.status("comparing with eager PyTorch"):
            verdict = shipping.check(artifact, checkpoint, trained=scale != "full")
        out.print(Text(f"{verdict.status}: {verdict.message}"), style=_style(verdict.status))
        if verdict.status != "pass":
            raise typer.Exit(1)


@app.command()
def generate(
    artifact: Exported,
    prompt: Annotated[
        str,
        typer.Option(help="What to continue; '<image>' or '<audio>' marks where a file stands (default: first)."),
    ],
    image: Annotated[list[Path] | None, typer.Option(help="A picture that the prompt is about; may be repeated.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="A WAV file that the prompt is about; may be repeated.")] = None,
    tokenizer: TokenizerPlace = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max_new_tokens", "--max-new-tokens", min=1, help="Tokens to choose at most.")
    ] = 64,
    threads: Threads = 1,
) -> None:
    """Continue a prompt greedily with an exported program."""
    from conformance import answering, showing

    if not prompt:
        raise ConformanceError("--prompt is empty; give at least one character.")

    def on_text(text: str) -> None:
        out.print(Text(text), end="")

    if image or audio:
        said = showing.generate_about(
            artifact,
            prompt,
            images=image or (),
            sounds=audio or (),
            companions=tokenizer,
            max_new_tokens=max_new_tokens,
            threads=threads,
            on_text=on_text,
        )
    else:
        said = answering.generate_text(
            artifact, prompt, tokenizer=tokenizer, max_new_tokens=max_new_tokens, threads=threads, on_text=on_text
        )
    out.print()
    err.print(
        Text(
            f"{said.prompt_tokens} prompt tokens, {said.tokens} new ({said.stop}); load {said.load_seconds:.2f} s, "
            f"first token {1e3 * said.first_token_seconds:.1f} ms, decode {said.tokens_per_second:.1f} tokens/s"
        ),
        style="dim",
    )


@app.command("fill-mask")
def fill_mask(
    artifact: Exported,
    text: Annotated[str, typer.Argument(help="A text with [MASK] where something is to be filled in.")],
    tokenizer: TokenizerPlace = None,
    best: Best = 5,
    threads: Threads = 1,
) -> None:
    """Fill in the masks of a text with an exported program."""
    from conformance import answering

    for number, guesses in enumerate(
        answering.fill_mask(artifact, text, tokenizer=tokenizer, best=best, threads=threads), start=1
    ):
        out.print(Text(f"mask {number}"))
        for guess in guesses:
            out.print(Text(f"  {guess.probability:6.1%}  {guess.label!r}"))


@app.command()
def transcribe(
    artifact: Exported,
    sound: Annotated[Path, typer.Argument(help="A WAV file: 8, 16, 24 or 32 bit PCM, of any rate and number of channels.")],
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json and the tokenizer (default: beside the .pte).")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max_new_tokens", "--max-new-tokens", min=1, help="Tokens at most.")] = 448,
    threads: Threads = 1,
) -> None:
    """Write down what an exported program hears in a sound file."""
    from conformance import listening

    heard = listening.transcribe(
        artifact,
        sound,
        processor=processor,
        max_new_tokens=max_new_tokens,
        threads=threads,
        on_text=lambda piece: out.print(Text(piece), end=""),
    )
    out.print()
    for note in heard.notes:
        err.print(Text(f"{sound}: {note}"))
    err.print(f"{heard.seconds:.1f} seconds of sound")


@app.command()
def classify(
    artifact: Exported,
    image: Annotated[Path, typer.Argument(help="A picture.")],
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json (default: where the .pte lies).")
    ] = None,
    best: Best = 5,
    threads: Threads = 1,
) -> None:
    """Say what an image shows, with an exported program."""
    from conformance import answering

    for guess in answering.classify(artifact, image, processor=processor, best=best, threads=threads):
        out.print(Text(f"{guess.probability:6.1%}  {guess.label}"))


@app.command()
def detect(
    artifact: Exported,
    image: Annotated[Path, typer.Argument(help="A picture.")],
    save: Annotated[Path | None, typer.Option(help="Write the picture with the boxes drawn into it, such as out.png.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Score above which an object counts.")] = 0.5,
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json (default: where the .pte lies).")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Find the objects in an image with an exported program: score, label, and box (left, top, right, bottom) in pixels."""
    from conformance import answering

    found = answering.detect(artifact, image, processor=processor, threshold=threshold, threads=threads, save=save)
    for each in found:
        box = ", ".join(f"{value:.1f}" for value in each.box)
        out.print(Text(f"{each.score:6.1%}  {each.label}  ({box})"))
    if not found:
        err.print(Text(f"no object has a score above {threshold:g}; a lower --threshold shows less sure ones."))
    if save is not None:
        out.print(Text(f"wrote {save}"))


@app.command()
def report(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the reports agree with the records.")] = False,
    records: Annotated[Path | None, typer.Option(help=f"The records (default: {RECORDS}).")] = None,
    root: Root = Path(),
    html: Annotated[Path | None, typer.Option(help="Write one page that holds everything, such as out.html, instead.")] = None,
    history: Annotated[
        list[Path] | None, typer.Option(help="With --html: records of an earlier run, a file or a directory; may be repeated.")
    ] = None,
    git_history: Annotated[bool, typer.Option(help="With --html: add the versions of the records that git has.")] = True,
) -> None:
    """Write the README's support matrix, reports/SUPPORT.md, a page for each family, and badges from the records; or, with
    --html, a page to explore them in a browser."""
    if html is not None:
        if check:
            raise ConformanceError("--check compares the committed reports, and --html writes a page; give one of them.")
        _report_html(html, records or root / RECORDS, root=root, history=history or (), git=git_history)
        return
    if history:
        raise ConformanceError("--history is for the page that --html writes; give --html FILE, too.")
    if check:
        stale = drifted(root, records)
        for path in stale:
            err.print(Text(f"{path} differs from the records; 'zoo report' writes it anew."), style="red")
        if stale:
            raise typer.Exit(1)
        out.print("the reports agree with the records")
        return
    changed = write_reports(root, records)
    out.print(Text("\n".join(f"wrote {path}" for path in changed) or "the reports agree with the records already"))


def _report_html(page: Path, records: Path, *, root: Path, history: Sequence[Path], git: bool) -> None:
    from conformance.reports import dashboard

    def notice(line: str) -> None:
        err.print(Text(line), style="yellow")

    runs = dashboard.collect(records, root=root, history=history, git=git, notice=notice)
    size = dashboard.write_page(page, runs)
    cells, earlier = _count(len(runs[0].records), "cell"), _count(len(runs) - 1, "earlier run")
    out.print(Text(f"wrote {page}: {cells}, {earlier}, {size / 2**20:.1f} MiB"))


@app.command("diff")
def show_diff(
    before: Annotated[Path, typer.Argument(help="A file or directory of records, or a run's directory.")],
    after: Annotated[Path, typer.Argument(help="Likewise, of later.")],
    format: Annotated[str, typer.Option(help="How: table, markdown or html.")] = "table",
    output: Output = None,
) -> None:
    """Show what changed between two runs: broken, slower, larger, gone, fixed, new. Exit code 1 if something is worse."""
    from conformance import changes
    from conformance import record as store
    from conformance.reports import changes as reports

    _check_format(format, ("table", "markdown", "html"))
    sides = store.read(before), store.read(after)
    found = reports.diff(*sides, changes.compare(*sides), names=(str(before), str(after)))
    texts = {"markdown": reports.markdown, "html": reports.html}
    _deliver(reports.table(found) if format == "table" else texts[format](found), output)
    if found.worse:
        raise typer.Exit(1)


@app.command()
def gate(
    names: Names = None,
    configuration: Only = None,
    tier: Tier = "default",
    records: Annotated[Path | None, typer.Option(help="Judge these records of a run instead of running the cells.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Compare with this git ref: both sides run here, and their programs are timed in turns.")
    ] = None,
    latency: Annotated[bool, typer.Option("--latency/--no-latency", help="Measure and compare latency.")] = True,
    launches: Annotated[
        int, typer.Option(min=1, max=1000, help="Processes to time a cell in at most, while it is unclear.")
    ] = 24,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Cells at a time while they are run; launches are alone.")
    ] = 2,
    threads: Threads = 1,
    scale: Scale = "twin",
    format: Annotated[str, typer.Option(help="How: table, markdown or json.")] = "table",
    output: Output = None,
    root: Root = Path(),
) -> None:
    """Hold a run against what was accepted (reports/baselines, or a git ref). Exit code 1 if something is worse."""
    from conformance import gating
    from conformance.reports import gate as reports

    _check_format(format, ("table", "markdown", "json"))
    if records is not None and against is not None:
        raise ConformanceError("--records and --against exclude each other: --against runs the cells of both sides.")
    if scale != "twin" and against is None and records is None:
        check_scale(scale)
    wanted = gating.Wanted(tuple(names or ()), tuple(configuration or ()), tier, scale, threads, jobs)
    with err.status("starting") as status:
        tools = gating.Tools(
            run=lambda runner, cells: _run_whole(runner, cells, jobs, status),
            on_step=lambda text: status.update(Text(text)),
            launches=launches if latency else 0,
        )
        if against is not None:
            verdict = gating.against_ref(root, against, wanted, tools)
        else:
            verdict = gating.against_baselines(root, records, wanted, tools)
    texts = {"markdown": reports.markdown, "json": reports.as_json}
    _deliver(reports.table(verdict) if format == "table" else texts[format](verdict), output)
    if not verdict.passed:
        raise typer.Exit(1)


@app.command()
def baseline(
    names: Names = None,
    update: Annotated[bool, typer.Option("--update", help="Record what the records say as accepted.")] = False,
    records: Annotated[Path | None, typer.Option(help=f"The records (default: {RECORDS}).")] = None,
    launches: Annotated[
        int, typer.Option(min=0, max=1000, help="Processes to time each passing cell in, beside its own run.")
    ] = 11,
    root: Root = Path(),
) -> None:
    """Show the accepted figures under reports/baselines, or record them anew from the records of a run."""
    from conformance import gating

    if not update:
        if records is not None:
            raise ConformanceError("--records goes with --update; without it, 'zoo baseline' shows what is recorded.")
        _columns(("model", "cells", "launches", "recorded", "versions"), *gating.recorded(root, tuple(names or ())))
        return
    with err.status("starting") as status:
        changed, notes = gating.update_baselines(
            root, tuple(names or ()), records or root / RECORDS, launches, on_step=lambda text: status.update(Text(text))
        )
    for note in notes:
        err.print(Text(note), style="yellow")
    out.print(Text("\n".join(f"wrote {path}" for path in changed) or "the baselines agree with the records already"))


def _check_format(format: str, allowed: Sequence[str]) -> None:
    if format not in allowed:
        raise unknown("format", format, allowed)


def _deliver(what: Any, output: Path | None) -> None:
    """Print a report, or write it to a file."""
    if output is None:
        if isinstance(what, str):
            out.print(Text(what), end="")
        else:
            out.print(what)
        return
    if not isinstance(what, str):
        plain = Console(file=io.StringIO(), width=160, highlight=False)
        plain.print(what)
        what = plain.file.getvalue()  # type: ignore[attr-defined]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(what, encoding="utf-8")
    err.print(Text(f"wrote {output}"))


def _run_whole(runner: Any, cells: Sequence[Cell], jobs: int, status: Any) -> list[Record]:
    """The records of cells, all of them."""
    status.stop()
    found, interrupted = _run_cells(runner, cells, jobs)
    status.start()
    if interrupted:
        err.print(f"interrupted: {len(found)} of {_count(len(cells), 'cell')} done")
        raise typer.Exit(130)
    return found


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors are one clear line and a non-zero exit code."""
    quiet()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except (ZooError, ExportError, SessionError, ConformanceError, OSError) as error:
        err.print(Text(f"error: {error}"), style="red")
        sys.exit(2)


__all__ = ["app", "main"]
