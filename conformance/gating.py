"""What ``zoo gate`` and ``zoo baseline`` do around ``conformance.gate``: choose cells, run them, make launches."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import baselines, matrix
from conformance import record as store
from conformance.baselines import BASELINES, Entry
from conformance.errors import ConformanceError
from conformance.gate import MOST_LAUNCHES, Verdict, judge
from conformance.launches import Launcher
from conformance.matrix import Cell
from conformance.record import GREEN, Record
from conformance.trail import processor
from conformance.worker import Runner, new_run
from zoo import registry

Run = Callable[[Runner, Sequence[Cell]], list[Record]]


@dataclass(frozen=True)
class Wanted:
    """Which cells, and how they are run."""

    names: tuple[str, ...] = ()
    """Models or families; all when there is none."""
    configurations: tuple[str, ...] = ()
    tier: str = "default"
    scale: str = "twin"
    threads: int = 1
    jobs: int = 2

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells."""
        return matrix.cells(registry.select(self.names), self.configurations, tier=self.tier)

    @property
    def options(self) -> dict[str, Any]:
        """What every cell is told."""
        return {"scale": self.scale, "threads": self.threads}

    @property
    def arguments(self) -> list[str]:
        """The same, for ``zoo run``."""
        chosen = [part for name in self.configurations for part in ("--configuration", name)]
        rest = {"tier": self.tier, "scale": self.scale, "threads": self.threads, "jobs": self.jobs}
        return [*self.names, *chosen, *(part for name, value in rest.items() for part in (f"--{name}", str(value)))]


@dataclass(frozen=True)
class Tools:
    """What the caller lends."""

    run: Run
    """Runs cells and gives their records."""
    on_step: Callable[[str], None] = lambda text: None
    """Told what is being done."""
    launches: int = MOST_LAUNCHES
    """Launches of a cell at most; 0 compares no latency."""


def against_baselines(root: Path, records: Path | None, wanted: Wanted, tools: Tools) -> Verdict:
    """Hold a run against ``reports/baselines``.

    Args:
        root: The project's directory.
        records: The records of a run; ``None`` runs the cells.
        wanted: The cells. Records of others are left alone.
        tools: What the caller lends.

    Raises:
        ConformanceError: there is no baseline of any of the models.
    """
    chosen = wanted.cells
    directory = root / BASELINES
    accepted = _accepted(directory, wanted)
    if not accepted:
        told = " ".join(wanted.names)
        raise ConformanceError(
            f"there are no baselines of {told or 'any model'} at {directory}; 'zoo baseline --update{' ' * bool(told)}{told}' "
            "writes them from the records."
        )
    names = {cell.name for cell in chosen}
    run = new_run(Path.cwd() / ".zoo")
    found = store.read(records) if records is not None else tools.run(Runner(run, options=wanted.options), chosen)
    after = {record.cell: baselines.entry(record) for record in found if record.cell in names}
    covered = names | _abandoned(accepted, wanted)
    launcher = _launcher(run, wanted, tools)
    return judge(
        accepted,
        after,
        covered=covered,
        more=launcher if tools.launches else None,
        most=tools.launches,
    )


def _accepted(directory: Path, wanted: Wanted) -> dict[str, Entry]:
    """The baselines of the chosen models; of all models also those of models that the registry no longer has."""
    models = [model.name for model in registry.select(wanted.names)]
    if not wanted.names:
        models += sorted({path.stem for path in directory.glob("*.json")} - set(models))
    return baselines.read(directory, models)


def _abandoned(accepted: Iterable[str], wanted: Wanted) -> set[str]:
    """Cells with a baseline that are in no tier any more: whoever gave them up is to say so by recording that."""
    if wanted.configurations:
        return set()
    possible = {
        f"{model.name}@{name}" for model in registry.models().values() for name in matrix.configurations(model, "nightly")
    }
    return set(accepted) - possible


def _launcher(run: Path, wanted: Wanted, tools: Tools, **options: Any) -> Launcher:
    count: collections.Counter[str] = collections.Counter()

    def told(cell: str) -> None:
        count[cell] += 1
        tools.on_step(f"timing {cell}: launch {count[cell]}")

    return Launcher(run, options=wanted.options, on_launch=told, **options)


def against_ref(root: Path, ref: str, wanted: Wanted, tools: Tools) -> Verdict:
    """Hold this code against that of a git ref: both run the cells here, and programs that differ are timed in turns.

    Raises:
        ConformanceError: the ref cannot be checked out, or its code cannot run the cells.
    """
    from conformance import against

    chosen = wanted.cells
    tools.on_step(f"checking out {ref}")
    with against.worktree(root, ref) as tree:
        tools.on_step(f"running {len(chosen)} cells with the code of {ref}")
        earlier = against.run(tree, wanted.arguments)
    run = new_run(Path.cwd() / ".zoo")
    later = tools.run(Runner(run, options=wanted.options), chosen)
    before, after = ({record.cell: baselines.entry(record) for record in side} for side in (earlier, later))
    programs, rest = against.programs(before, after)
    launcher = _launcher(run, wanted, tools, programs=programs)
    return judge(
        before,
        after,
        covered=before.keys(),
        more=launcher if tools.launches else None,
        most=tools.launches,
        timings=against.timings(programs, {cell: tuple(after[cell].latency) for cell in programs}),
        uncompared=rest,
    )


def update_baselines(
    root: Path,
    names: tuple[str, ...],
    records: Path,
    launches: int,
    *,
    on_step: Callable[[str], None] = lambda text: None,
    launcher: Launcher | None = None,
) -> tuple[list[Path], list[str]]:
    """Record what the records say of models as accepted.

    Args:
        root: The project's directory.
        names: Models or families; all of the records when there is none.
        records: Where the records are.
        launches: Processes to time each passing cell in, beside its own run.
        on_step: Told what is being done.
        launcher: Makes the launches.

    Returns:
        The files that changed, and what there is to know.

    Raises:
        ConformanceError: there are no records of a model that was named.
    """
    found = store.read(records)
    chosen = [model.name for model in registry.select(names)]
    of_model = collections.Counter(record.model for record in found)
    missing = [name for name in chosen if not of_model[name]]
    if names and missing:
        raise ConformanceError(f"{records} has no records of {', '.join(missing)}; 'zoo run {' '.join(missing)}' makes them.")
    baselines.read(root / BASELINES, chosen)  # what cannot be read is said before launches are made
    mine = [record for record in found if record.model in chosen]
    notes = [f"accepted as it is: {record.cell}: {record.status}" for record in mine if record.status not in GREEN]
    other = sorted({str(record.host.get("processor")) for record in mine} - {processor()})
    if launches and other:
        notes.append(f"not timed again: recorded on another processor ({', '.join(other)})")
    if launcher is None:
        launcher = Launcher(new_run(Path.cwd() / ".zoo"))
    entries = {}
    for number, record in enumerate(mine, start=1):
        on_step(f"{record.cell} ({number} of {len(mine)})")
        again = launches if record.status == "pass" and record.host.get("processor") == processor() else 0
        launcher.options = {"scale": record.scale, "threads": record.host.get("threads", 1)}
        entries[record.cell] = baselines.entry(record, [launcher.samples(record.cell) for _ in range(again)])
    configurations: Mapping[str, Sequence[str]] = {
        name: matrix.configurations(registry.get(name), "nightly") for name in chosen if of_model[name]
    }
    directory = root / BASELINES
    changed = baselines.update(directory, entries, configurations=configurations)
    if not names:
        gone = sorted(path for path in directory.glob("*.json") if path.stem not in registry.models())
        for path in gone:
            path.unlink()
        changed += gone
    return changed, notes + [f"{cell}: a launch came to nothing: {why}" for cell, why in launcher.failures.items()]


def recorded(root: Path, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A row for each model: cells, launches of a phase, the days and the versions they were recorded with.

    Raises:
        ConformanceError: nothing is recorded.
    """
    rows: list[tuple[str, ...]] = []
    for model in registry.select(names):
        entries = baselines.read(root / BASELINES, [model.name])
        if not entries:
            continue
        launches = [len(found) for each in entries.values() for found in each.latency.values()]
        days = sorted({each.created[:10] for each in entries.values()})
        versions = sorted(
            {" ".join(f"{name} {version}" for name, version in each.versions.items()) for each in entries.values()}
        )
        rows.append(
            (
                model.name,
                str(len(entries)),
                f"{min(launches)} to {max(launches)}" if launches else "–",
                days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
                "; ".join(versions),
            )
        )
    if not rows:
        raise ConformanceError(f"there are no baselines at {root / BASELINES}; 'zoo baseline --update' writes them.")
    return rows
