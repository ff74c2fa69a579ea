"""Commands that run cells and keep their records: run, merge, export-records, changed."""

from __future__ import annotations

import collections
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeoutError
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from conformance import matrix
from conformance.cli.console import app, count, err, new_table, notice, out, style
from conformance.cli.options import Names, Root, Scale, Stock, Tier
from conformance.errors import ConformanceError
from conformance.matrix import Cell
from conformance.record import GREEN, Record
from conformance.reports import figures
from conformance.reports.generated import RECORDS
from zoo import registry
from zoo.checkpoints import check_scale
from zoo.errors import unknown

WIDEST = 6
"""Configurations that a table of a run has columns for."""


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
    memory: Annotated[
        float, typer.Option(min=0, max=65536, help="GiB one cell may use; 0 for 80 % of the machine's or the container's.")
    ] = 0,
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
    notice(opened.options["stock_lowering"])
    with runs.held(place):
        if resume is not None:
            err.print(Text(f"{runs.restore_records(place)} of {count(len(chosen), 'cell')} done before"))
        limits = Limits(seconds=timeout, memory_bytes=int(memory * 2**30))
        runner = Runner(place, options=opened.options, limits=limits)
        found, interrupted = run_cells(runner, chosen, jobs)
    if records is not None:  # before anything is printed: the terminal may be gone
        store.merge(records, found)
    out.print()
    out.print(_summary(found, chosen))
    for record in found:
        if record.reason:
            out.print(Text(f"{record.status}: {record.cell}: {record.reason}"))
    out.print(Text(f"records: {records or runner.records}"))
    if interrupted:
        err.print(Text(f"interrupted: {len(found)} of {count(len(chosen), 'cell')} done"))
        err.print(Text(f"the rest: zoo run --resume {place}"))
        raise typer.Exit(128 + interrupted)
    stale = _expectations(found)
    if stale or any(record.status not in GREEN for record in found):
        raise typer.Exit(1)


def _expectations(found: Sequence[Record]) -> bool:
    """Say what is to be done about known failures of these cells that pass or have expired; returns whether some expired."""
    from conformance import expectation_edits
    from conformance import record as store
    from conformance.suite import with_known_failures

    models = [registry.get(name) for name in dict.fromkeys(record.model for record in found)]
    expired: dict[str, None] = {}
    for path, suites in with_known_failures(models, Path("tests")).items():
        names = {suite.model.name for suite in suites}
        cells = {record.cell: record for record in found if record.model in names}
        for suite, record in itertools.product(suites, cells.values()):
            stale = [entry for entry in suite.known_failures if entry.covers(record.configuration) and entry.expired()]
            expired |= {f"{record.model}: {entry.renewal}": None for entry in stale if record.model == suite.model.name}
        if any(record.status == "fixed" for record in cells.values()):
            places = [place for name in names if (place := store.place(RECORDS, name)).is_file()]
            known = {each.cell: each for place in places for each in store.read(place) if each.scale == found[0].scale}
            out.print(Text(expectation_edits.suggestion(path, suites, (known | cells).values()).rstrip()))
    for line in expired:
        err.print(Text(line), style="red")
    return bool(expired)


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
    out.print(Text(f"{count(len(merged.records), 'record')} of {count(len(parts), 'part')}: {into}"))
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


def run_cells(runner: Any, cells: Sequence[Cell], jobs: int) -> tuple[list[Record], int]:
    """Run cells side by side, with a line for each on the way.

    Returns:
        The records; and the number of the signal that interrupted the run before all were there, or 0.
    """
    from conformance import suite

    tests = Path.cwd() / "tests"
    known = {cell.model.name: suite.discover(cell.model, tests) for cell in cells}
    found: dict[str, Record] = {}
    began = time.monotonic()
    with _signals() as received, ThreadPoolExecutor(jobs) as pool, err.status("starting") as status:
        pending = {pool.submit(runner.record, cell, known[cell.model.name]): cell for cell in cells}
        try:
            for future in _completed(pending, runner, status):
                cell = pending[future]
                record = found[cell.name] = future.result()
                seconds = sum(stage.seconds for stage in record.stages if not stage.cached)
                err.print(
                    Text(f"[{len(found)}/{len(cells)}] {record.status:<14} {cell.name}  {seconds:.1f} s"),
                    style=style(record.status),
                )
        except KeyboardInterrupt:
            received.append(signal.SIGINT)
        finally:  # also when a record cannot be kept: the other cells would run for nothing
            for future in pending:
                future.cancel()
            if len(found) < len(cells):
                runner.stop()
    err.print(f"{count(len(found), 'cell')} in {time.monotonic() - began:.0f} s")
    return [found[cell.name] for cell in cells if cell.name in found], received[0] if len(found) < len(cells) else 0


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGTERM, and SIGHUP when the terminal goes, end a run as Ctrl-C does; gives the list of those that came."""
    received: list[int] = []

    def interrupt(number: int, _: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup asks for
                before[each] = signal.signal(each, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_whole(runner: Any, cells: Sequence[Cell], jobs: int, status: Any) -> list[Record]:
    """The records of cells, all of them."""
    status.stop()
    found, interrupted = run_cells(runner, cells, jobs)
    status.start()
    if interrupted:
        err.print(f"interrupted: {len(found)} of {count(len(cells), 'cell')} done")
        raise typer.Exit(128 + interrupted)
    return found


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


def _summary(records: Sequence[Record], cells: Sequence[Cell]) -> Table:
    """The support matrix of a run, for a terminal: a column for each configuration that several models share, and one that
    counts the others."""
    found = {(record.model, record.configuration): record for record in records}
    ids = list(dict.fromkeys(cell.configuration for cell in cells))
    if len(ids) > WIDEST:
        ids = [name for name in ids if any(name in core for core in matrix.CORE.values())]
    table = new_table("model", *ids, "others", title="support matrix", title_justify="left")
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
    return Text(f"{record.status.replace('_', ' ')}{speed}", style=style(record.status))
