"""Commands that read records: report, diff, gate, baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from conformance.cli.console import app, check_format, columns, count, deliver, err, out
from conformance.cli.options import Names, Only, Output, Root, Scale, Threads, Tier
from conformance.cli.running import run_whole
from conformance.errors import ConformanceError
from conformance.reports.generated import RECORDS, drifted, write_reports
from zoo.checkpoints import check_scale


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
    """Write the README's support matrix, reports/SUPPORT.md, a page for each family, and badges from the records, and the
    measured sections of docs/verdicts.md from reports/verdicts; or, with --html, a page to explore the records in a browser."""
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
    cells, earlier = count(len(runs[0].records), "cell"), count(len(runs) - 1, "earlier run")
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

    check_format(format, ("table", "markdown", "html"))
    sides = store.read(before), store.read(after)
    found = reports.diff(*sides, changes.compare(*sides), names=(str(before), str(after)))
    texts = {"markdown": reports.markdown, "html": reports.html}
    deliver(reports.table(found) if format == "table" else texts[format](found), output)
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

    check_format(format, ("table", "markdown", "json"))
    if records is not None and against is not None:
        raise ConformanceError("--records and --against exclude each other: --against runs the cells of both sides.")
    if scale != "twin" and against is None and records is None:
        check_scale(scale)
    wanted = gating.Wanted(tuple(names or ()), tuple(configuration or ()), tier, scale, threads, jobs)
    with err.status("starting") as status:
        tools = gating.Tools(
            run=lambda runner, cells: run_whole(runner, cells, jobs, status),
            on_step=lambda text: status.update(Text(text)),
            launches=launches if latency else 0,
        )
        if against is not None:
            verdict = gating.against_ref(root, against, wanted, tools)
        else:
            verdict = gating.against_baselines(root, records, wanted, tools)
    texts = {"markdown": reports.markdown, "json": reports.as_json}
    deliver(reports.table(verdict) if format == "table" else texts[format](verdict), output)
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
        columns(("model", "cells", "launches", "recorded", "versions"), *gating.recorded(root, tuple(names or ())))
        return
    with err.status("starting") as status:
        changed, notes = gating.update_baselines(
            root, tuple(names or ()), records or root / RECORDS, launches, on_step=lambda text: status.update(Text(text))
        )
    for note in notes:
        err.print(Text(note), style="yellow")
    out.print(Text("\n".join(f"wrote {path}" for path in changed) or "the baselines agree with the records already"))
