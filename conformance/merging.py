"""Putting the records of several runs together, and saying whether that is all of them.

Two runs of the same cells are *the same* if ``stable`` of their records is equal: everything that a record says but when it was
made, how long things took, how much memory they used, and on which machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import record as store
from conformance.errors import ConformanceError
from conformance.record import Record
from conformance.runs import MANIFEST, Manifest, finished, read_manifest

_LIMITS = ("TimeLimit", "MemoryLimit")
_SHOWN = 5
"""Cells that a message names."""


def stable(record: Record) -> dict[str, Any]:
    """What a record says that another run of the same cell, with the same code, versions and options, says too.

    Left out: ``created``, ``host``, ``latency`` and the figures of the check of that name; of the stages their seconds, memory
    and whether they were cached; of a failure what holds times, addresses or memory (the runtime's output, the traceback, the
    reason, and what a limit measured). Errors, tokens and the program's checksum stay: one machine repeats them exactly.
    """
    said = record.model_dump(exclude={"created", "host", "latency"})
    said["stages"] = [stage.name for stage in record.stages]
    if "latency" in said["checks"]:
        said["checks"]["latency"] = {"status": record.checks["latency"].status}
    if record.failure is not None:
        limit = record.failure.kind in _LIMITS
        said["failure"] = record.failure.model_dump(include={"stage", "kind"} if limit else {"stage", "kind", "message"})
        said["reason"] = ""
    return said


def judgement(record: Record) -> dict[str, Any]:
    """What two machines must agree on about a cell: figures differ between processors, these do not."""
    return {
        "status": record.status,
        "stage": record.failure.stage if record.failure else record.furthest_stage,
        "failure": record.failure.kind if record.failure else None,
        "checks": {name: check.status for name, check in record.checks.items()},
    }


@dataclass(frozen=True)
class Part:
    """The records of one run directory or file."""

    path: Path
    records: tuple[Record, ...]
    manifest: Manifest | None = None
    """What the run was started with; a file of records does not say."""


@dataclass(frozen=True)
class Merged:
    """The records of all parts."""

    records: tuple[Record, ...]
    missing: tuple[str, ...]
    """Cells that the runs were to have, and that no part has."""
    findings: tuple[str, ...]
    """Why they are missing, one line each, with what to do. Empty if the records are complete."""


def load(path: Path) -> Part:
    """The records of a run directory, a file of records, or a directory of them.

    Raises:
        ConformanceError: it is none of these.
    """
    if (path / MANIFEST).is_file():
        return Part(path, tuple(finished(path).values()), read_manifest(path))
    return Part(path, tuple(store.read(path)))


def merge(parts: Sequence[Part]) -> Merged:
    """The records of all parts; of a cell that several have, the latest.

    Raises:
        ConformanceError: the parts are of different versions, scale, options or code, or contradict each other about a cell.
    """
    _check_alike(parts)
    found: dict[str, tuple[Record, Part]] = {}
    for part in parts:
        for record in part.records:
            earlier = found.get(record.cell)
            if earlier is not None:
                _check_agreeing(earlier[0], earlier[1].path, record, part.path)
            if earlier is None or earlier[0].created <= record.created:
                found[record.cell] = record, part
    missing, findings = _missing(parts, set(found))
    return Merged(tuple(found[name][0] for name in sorted(found)), missing, findings)


def _check_alike(parts: Sequence[Part]) -> None:
    first: dict[str, tuple[Any, Path]] = {}
    for part in parts:
        facts: list[tuple[str, Any]] = []
        for record in part.records:
            facts.append(("scale", record.scale))
            facts.append(("threads", record.host.get("threads")))
            facts += _versions(record.versions)
        if part.manifest is not None:
            facts += part.manifest.options.items()
            facts += _versions(part.manifest.versions)
            facts.append(("code", part.manifest.source))
        for name, value in dict.fromkeys((name, value) for name, value in facts if value is not None):
            other, where = first.setdefault(name, (value, part.path))
            if other != value:
                raise ConformanceError(
                    f"{where} and {part.path} cannot be merged: {name} is {other} in the one and {value} in the other. "
                    "Run one of them again with the other's."
                )


def _versions(versions: Mapping[str, str]) -> list[tuple[str, Any]]:
    """Versions that must be the same. Of Python the minor one: machines of a CI service get patches on different days."""
    return [
        (f"version of {name}", ".".join(version.split(".")[:2]) if name == "python" else version)
        for name, version in versions.items()
    ]


def _check_agreeing(one: Record, its: Path, other: Record, others: Path) -> None:
    before, after = judgement(one), judgement(other)
    differing = [f"{name} {before[name]} and {after[name]}" for name in before if before[name] != after[name]]
    if differing:
        raise ConformanceError(
            f"{its} and {others} contradict each other about {one.cell}: {'; '.join(differing)}. "
            f"Run it again: zoo run {one.model} -c {one.configuration}"
        )


def _missing(parts: Sequence[Part], found: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cells that no part has, and what became of them."""
    missing: list[str] = []
    findings: list[str] = []
    for part in parts:
        left = [] if part.manifest is None else [name for name in part.manifest.cells if name not in found]
        if left:
            missing += left
            findings.append(
                f"{part.path} is unfinished: {_listed(left)} of its {len(part.manifest.cells if part.manifest else ())} cells "
                f"missing. Continue it: zoo run --resume {part.path}"
            )
    runs: dict[tuple[tuple[str, ...], int], list[Manifest]] = {}
    for part in parts:
        if part.manifest is not None and part.manifest.shard is not None:
            runs.setdefault((part.manifest.selection, part.manifest.shard.count), []).append(part.manifest)
    for (selection, count), manifests in runs.items():
        given = {manifest.shard.index for manifest in manifests if manifest.shard}
        absent = [index for index in range(1, count + 1) if index not in given]
        left = [name for name in selection if name not in found and name not in missing]
        if absent and left:
            names = ", ".join(f"{index}/{count}" for index in absent)
            findings.append(f"shard {names} was not given: {_listed(left)} of {len(selection)} cells missing.")
        elif left:
            findings.append(
                f"{_listed(left)} of {len(selection)} cells are in no shard: the shards were cut by different durations. "
                "Run all of them with the same --durations."
            )
        missing += left
    return tuple(sorted(set(missing))), tuple(findings)


def _listed(names: Iterable[str]) -> str:
    """How many names, and the first of them."""
    given = list(names)
    more = f", and {len(given) - _SHOWN} more" if len(given) > _SHOWN else ""
    return f"{len(given)} ({', '.join(given[:_SHOWN])}{more})" if given else "0"


__all__ = ["Merged", "Part", "judgement", "load", "merge", "stable"]
