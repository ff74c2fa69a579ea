"""The command about known failures: expectations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from conformance.cli.console import app, columns, count, err, out
from conformance.cli.options import Names, Root
from conformance.errors import ConformanceError
from conformance.reports.generated import RECORDS
from zoo import registry

WORDS = {"matches nothing": "matches nothing: correct it, or remove it from its test file"}


@app.command()
def expectations(
    names: Names = None,
    update: Annotated[bool, typer.Option("--update", help="Remove the entries that are fixed from the test files.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is to be done, with exit code 1 if there is anything.")
    ] = False,
    records: Annotated[Path | None, typer.Option(help=f"The records, or a run's directory (default: {RECORDS}).")] = None,
    root: Root = Path(),
) -> None:
    """List the known failures with what the records say of them: holds, fixed, expired, or matches nothing."""
    from conformance import expectation_edits as edits
    from conformance.merging import load
    from conformance.suite import with_known_failures

    if update and check:
        raise ConformanceError("--check only says what --update would do; give one of them.")
    files = with_known_failures(registry.select(tuple(names or ())), root / "tests")
    found = load(records or root / RECORDS).records if any(files.values()) else ()
    standings = {path: edits.standings(suites, found) for path, suites in files.items()}
    listed = [(suite, each) for states in standings.values() for suite, of in states.items() for each in of]
    if not listed:
        out.print("there are no known failures")
        return
    if not check:
        _list(listed)
    asked = {path: edits.changes(states) for path, states in standings.items()}
    made = [edits.edit(path, changes) for path, changes in asked.items() if changes]
    for wanted in made:
        if update:
            wanted.make()
            out.print(Text(f"wrote {wanted.path}"))
        else:
            out.print(Text(str(wanted)), end="")
    left = [(suite, each) for suite, each in listed if each.state in ("expired", "matches nothing")]
    for suite, each in left:
        told = each.entry.renewal if each.state == "expired" else f"{each.entry} {WORDS[each.state]} ({each.told})"
        err.print(Text(f"{suite.model.name}: {told}"), style="red")
    if check and not (made or left):
        out.print(f"{count(len(listed), 'known failure')}: all hold")
    if (check and made) or (left and (check or update)):
        raise typer.Exit(1)


def _list(listed: Sequence[tuple[Any, Any]]) -> None:
    rows = [
        (each.state, suite.model.name, each.entry.configuration, each.entry.stage, each.entry.until, each.told)
        for suite, each in listed
    ]
    columns(("state", "model", "configuration", "stage", "until", "cells"), *rows)
