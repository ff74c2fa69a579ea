"""Whether the same verdicts come out again: ``python -m benchmarks.repeatability`` runs cells twenty times and compares.

A repetition is an ordinary run, ``zoo run --run DIRECTORY/01`` and so on, in a process of its own. Programs come from the cache
after the first one; execution and comparison are never cached. What is whole already is kept and what was interrupted is
continued, as long as code and versions are those it was begun with. Without names it is every cell of the tier ``default``.
Where nothing is cached, the first repetition exports all of them, which takes hours.

It writes ``reports/verdicts/repeatability.json``: how many cells had the same verdicts in all repetitions and how many the same
figures, and of the others what differed. ``--only-compare`` takes runs that are there already.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance import matrix, repeatability, runs
from conformance.against import RUN
from conformance.errors import ConformanceError
from conformance.inert import inert
from conformance.matrix import Cell
from conformance.reports.verdicts import DIRECTORY
from exporters.errors import ExportError
from zoo import registry
from zoo.errors import ZooError

INTERRUPTED = 130
RUNS = ("names", "configuration", "tier", "times", "jobs", "directory")
"""Arguments that say what is run."""


@dataclass(frozen=True)
class Chosen:
    """Which cells are repeated, and how many at a time."""

    names: tuple[str, ...]
    configurations: tuple[str, ...]
    tier: str
    jobs: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells."""
        return matrix.cells(registry.select(self.names), self.configurations, tier=self.tier)

    @property
    def arguments(self) -> list[str]:
        """The same, for ``zoo run``."""
        return [*self.names, *(f"--configuration={name}" for name in self.configurations), "--tier", self.tier]


def repeat(directory: Path, cells: Sequence[Cell], chosen: Chosen) -> None:
    """Make the run of a directory whole: start it, continue it, or leave it as it is.

    Raises:
        ConformanceError: it was begun with other cells, versions or code, or it cannot be run.
        KeyboardInterrupt: it was interrupted.
    """
    place = ["--run", os.fspath(directory), *chosen.arguments]
    if (directory / runs.MANIFEST).is_file():
        manifest = runs.resumed(directory, selection=cells)
        if not repeatability.missing(directory, manifest):
            return
        place = ["--resume", os.fspath(directory)]
    code = _zoo("run", *place, "--jobs", str(chosen.jobs))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (0, 1):  # 1: some cells are not green, and that is a verdict, too
        raise ConformanceError(f"'zoo run' ended with code {code} in {directory}.")


def _zoo(*arguments: str) -> int:
    """The exit code of ``zoo``. An interrupt is the child's to deal with: it says what it has, and ends."""
    with subprocess.Popen([sys.executable, "-c", RUN, *arguments]) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def told(found: repeatability.Repeatability) -> str:
    """The counts, and what differed."""
    lines = [
        f"{found.repetitions} repetitions of {found.cells} cells: {found.same_verdicts} with the same verdicts, "
        f"{found.same_figures} with the same figures"
    ]
    for each in found.differing:
        for difference in (*each.verdicts, *each.figures):
            values = ", ".join(f"{value} ({count} times)" for value, count in difference.values)
            places = f" in {difference.places} places, at first" if difference.places > 1 else ""
            lines.append(f"{each.cell}: {difference.field}{places}: {values}")
    return inert("\n".join(lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help="models or families; all when there is none")
    parser.add_argument("--configuration", "-c", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--tier", default="default", help=f"of the cells: {', '.join(matrix.TIERS)}")
    parser.add_argument("--times", type=int, default=20, help="repetitions, at least 2")
    parser.add_argument("--jobs", "-j", type=int, default=2, help="cells at a time")
    parser.add_argument("--directory", type=Path, default=Path(".zoo/repeatability"), help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=DIRECTORY / "repeatability.json")
    parser.add_argument(
        "--only-compare", type=Path, nargs="+", metavar="RUN", help="the directories of these runs; runs nothing"
    )
    return parser


def main() -> None:
    parser = _parser()
    options = parser.parse_intermixed_args()
    chosen = Chosen(tuple(options.names), tuple(options.configuration), options.tier, options.jobs)
    asked = [name for name in RUNS if getattr(options, name) != parser.get_default(name)]
    if options.only_compare and asked:
        parser.error(f"--only-compare runs nothing; leave {', '.join(asked)} out")
    if options.times < 2:
        parser.error(f"--times {options.times}: at least 2, so that there is something to compare")
    directories = options.only_compare or [options.directory / f"{number:02}" for number in range(1, options.times + 1)]
    try:
        if not options.only_compare:
            cells = chosen.cells
            for directory in directories:
                repeat(directory, cells, chosen)
        found = repeatability.summarised(directories)
    except (ConformanceError, ExportError, ZooError) as error:
        parser.exit(2, f"error: {inert(str(error))}\n")
    except KeyboardInterrupt:
        parser.exit(INTERRUPTED, "interrupted; the same command continues\n")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(told(found))
    if found.same_verdicts < found.cells:
        sys.exit(1)


if __name__ == "__main__":
    main()
