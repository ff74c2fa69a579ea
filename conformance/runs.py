"""Run directories: what a run was started with, so that it can be continued and merged.

A run directory holds ``run.json`` (the manifest), ``records.jsonl``, and for each cell ``cells/<cell>/verdict.json``, which is
there whole or not at all. A run that was interrupted or killed is continued from its verdicts, whether 'zoo run' or pytest
began it.
"""

from __future__ import annotations

import datetime
import fcntl
import functools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from conformance import files, sharding
from conformance import record as store
from conformance.errors import ConformanceError
from conformance.matrix import Cell
from conformance.record import Record
from conformance.sharding import Shard
from exporters.config import ExportConfig
from zoo import cache, registry

MANIFEST = "run.json"
RECORDS = "records.jsonl"
_PACKAGES = tuple(Path(__file__).parents[1] / name for name in ("zoo", "exporters", "conformance"))


class Manifest(BaseModel):
    """What a run was started with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    selection: tuple[str, ...]
    """The cells that were asked for, of all shards."""
    cells: tuple[str, ...]
    """The cells of this run: those of its shard, or all."""
    shard: Shard | None = None
    options: dict[str, Any]
    """What every cell is told: ``scale``, ``threads``, ``max_seq_len``, ``stock_lowering``."""
    versions: dict[str, str]
    """The stack's, and Python's."""
    source: str
    """SHA-256 of the project's code."""


@functools.cache
def _source() -> str:
    return cache.source_sha256(_PACKAGES)


def planned(
    selection: Sequence[Cell],
    *,
    options: Mapping[str, Any],
    shard: Shard | None = None,
    durations: Iterable[Record] = (),
) -> Manifest:
    """The manifest of a run that is to start.

    Args:
        selection: The cells of all shards.
        options: What every cell is told.
        shard: Which part of the selection is run here; all of it when it is not given.
        durations: Records of how long cells take, by which shards are cut.
    """
    cells = tuple(selection)
    if shard is not None:
        cells = sharding.partition(cells, sharding.durations(cells, durations), shard.count)[shard.index - 1]
    return Manifest(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        selection=tuple(cell.name for cell in selection),
        cells=tuple(cell.name for cell in cells),
        shard=shard,
        options=dict(options),
        versions={**cache.stack_versions(), "python": platform.python_version()},
        source=_source(),
    )


def resumed(
    directory: Path,
    *,
    selection: Sequence[Cell] | None = None,
    options: Mapping[str, Any] | None = None,
    shard: Shard | None = None,
) -> Manifest:
    """The manifest of a run that is to be continued. What is asked for besides must be what it was started with.

    Raises:
        ConformanceError: there is no run in the directory, or something differs: cells, options, shard, versions or code.
    """
    recorded = read_manifest(directory)
    now = recorded.model_copy(
        update={
            "selection": recorded.selection if selection is None else tuple(cell.name for cell in selection),
            "options": {**recorded.options, **(options or {})},
            "shard": shard or recorded.shard,
            "versions": {**cache.stack_versions(), "python": platform.python_version()},
            "source": _source(),
        }
    )
    found = differences(recorded, now)
    if found:
        raise ConformanceError(
            f"{directory} was started otherwise and cannot be continued so: {'; '.join(found)}. Start a new run."
        )
    return recorded


def check_new(directory: Path) -> None:
    """Say before any work is done that no run can be started in a directory.

    Raises:
        ConformanceError: it holds a run already, or something else.
    """
    if (directory / MANIFEST).exists():
        raise ConformanceError(f"{directory} holds a run already. Continue it with --resume {directory}, or name another one.")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConformanceError(f"{directory} is there and holds no run; name a directory that is new or empty.")


def start(directory: Path, described: Manifest) -> None:
    """Write the manifest of a new run.

    Raises:
        ConformanceError: the directory holds a run already, or something else.
    """
    check_new(directory)
    directory.mkdir(parents=True, exist_ok=True)
    describe(directory, described)
    store.write(directory / RECORDS, [])


def describe(directory: Path, described: Manifest) -> None:
    """Write the manifest of a run, unless another process that works on it has."""
    if not (directory / MANIFEST).exists():
        files.replace(directory / MANIFEST, described.model_dump_json(indent=2) + "\n")


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a run.

    Raises:
        ConformanceError: there is none, or it is of another version.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise ConformanceError(f"{directory} is no run directory: it has no {MANIFEST}. 'zoo run --run {directory}' makes one.")
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConformanceError(f"{path} is no manifest of a run: {first}. Start the run anew in another directory.") from error


def differences(recorded: Manifest, now: Manifest) -> list[str]:
    """What keeps a run from being continued as ``now``, one line each. The parts that shards were dealt are not compared: a run
    keeps its own."""
    found = []
    if recorded.selection != now.selection:
        gone, new = _without(recorded.selection, now.selection), _without(now.selection, recorded.selection)
        parts = [f"now without {_named(gone)}" if gone else "", f"now with {_named(new)} besides" if new else ""]
        found.append(f"cells: {', '.join(filter(None, parts)) or 'now in another order'}")
    if recorded.shard != now.shard:
        found.append(f"shard: {recorded.shard or 'none'}, now {now.shard or 'none'}")
    for label, before, after in (("", recorded.options, now.options), ("version of ", recorded.versions, now.versions)):
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                found.append(f"{label}{name}: {before.get(name)}, now {after.get(name)}")
    if recorded.source != now.source:
        found.append("the code of zoo, exporters or conformance has changed")
    return found


def cells_of(names: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of a manifest.

    Raises:
        ZooError: a model is not in the registry any more.
        ExportError: a configuration is none: it would name another directory than a cell's.
    """
    pairs = (name.partition("@")[::2] for name in names)
    return tuple(Cell(registry.get(model), ExportConfig.from_id(configuration).id) for model, configuration in pairs)


def finished(directory: Path) -> dict[str, Record]:
    """The verdicts of a run, by cell. Of a run whose ``cells`` were not kept (published without them), its records."""
    if not (directory / "cells").is_dir():
        path = directory / RECORDS
        return {record.cell: record for record in store.read(path)} if path.is_file() else {}
    found = {}
    for path in sorted((directory / "cells").glob("*/verdict.json")):
        record = read_verdict(path)
        found[record.cell] = record
    return found


def read_verdict(path: Path) -> Record:
    """A cell's verdict.

    Raises:
        ConformanceError: it is none.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConformanceError(f"{path} is no record: {error.errors()[0]['msg']}. Delete it to run the cell again.") from error


def restore_records(directory: Path) -> int:
    """Write ``records.jsonl`` anew from the verdicts: a process that was killed may have left half a line, or a record without
    a verdict. A cell that was ``blocked`` was never tried: its verdict goes. Returns how many verdicts there are."""
    found = finished(directory)
    for path in (directory / "cells" / name / "verdict.json" for name in found if found[name].status == "blocked"):
        path.unlink(missing_ok=True)
    found = finished(directory)
    store.write(directory / RECORDS, found.values())
    return len(found)


@contextmanager
def held(directory: Path, *, together: bool = False) -> Iterator[None]:
    """Keep other processes from continuing a run while this one works on it. The system lets go when the process dies.

    Args:
        directory: The run's.
        together: Others may work on it that say so, too (the workers of pytest-xdist).

    Raises:
        ConformanceError: another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / ".run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConformanceError(f"another 'zoo run' or pytest is at work in {directory}; wait for it, or end it.") from error
    try:
        yield
    finally:
        os.close(lock)


def _without(these: Sequence[str], those: Sequence[str]) -> list[str]:
    known = set(those)
    return [name for name in these if name not in known]


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


__all__ = [
    "MANIFEST",
    "RECORDS",
    "Manifest",
    "cells_of",
    "check_new",
    "describe",
    "differences",
    "finished",
    "held",
    "planned",
    "read_manifest",
    "read_verdict",
    "restore_records",
    "resumed",
    "start",
]
