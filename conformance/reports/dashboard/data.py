"""What of the records goes into the page.

The summary has a few figures of every cell, by column, and is read when the page opens. Everything else is packed (JSON,
deflate, base64) and unpacked when it is looked at: the details of a model's cells with what earlier runs have of them, and the
comparisons of two runs.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from conformance.changes import KINDS, WORSE, compare
from conformance.inert import inert_values
from conformance.record import STAGES, Record, Status
from conformance.reports.dashboard.history import Run
from conformance.reports.figures import speedup
from zoo.model import TASKS

STATUSES: tuple[str, ...] = get_args(Status)


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """What the page knows when it opens: the runs, and the matrix of the first one, by column.

    A figure that a cell does not have is ``None``. Models, families, tasks, configurations, statuses and reasons are numbers
    that count the lists beside them. Tasks are in the order of the matrix.
    """
    records = sorted(runs[0].records, key=lambda record: (record.model, record.configuration))
    models = {record.model: record for record in records}
    families = _ranks(record.family for record in models.values())
    tasks = _ranks((record.task for record in models.values()), first=tuple(TASKS))
    configurations = _ranks(record.configuration for record in records)
    reasons = _ranks(["", *(record.reason for record in records)])
    numbers = {name: number for number, name in enumerate(models)}
    return {
        "statuses": STATUSES,
        "stages": STAGES,
        "kinds": KINDS,
        "worse": sorted(WORSE),
        "runs": [_run(run) for run in runs],
        "models": {
            "name": list(models),
            "family": [families[record.family] for record in models.values()],
            "task": [tasks[record.task] for record in models.values()],
            "hub": [record.hub_id for record in models.values()],
        },
        "families": list(families),
        "tasks": list(tasks),
        "configurations": list(configurations),
        "reasons": list(reasons),
        "cells": {
            "model": [numbers[record.model] for record in records],
            "configuration": [configurations[record.configuration] for record in records],
            "status": [STATUSES.index(record.status) for record in records],
            "reason": [reasons[record.reason] for record in records],
            "speedup": [_short(speedup(record)) for record in records],
            "bytes": [record.file_bytes for record in records],
            "delegated": [_short(record.delegated_share) for record in records],
            "error": [_short(_metric(record, "logits", "max_abs_error")) for record in records],
            "kl": [_short(_metric(record, "quality", "kl_mean")) for record in records],
            "sqnr": [_short(_metric(record, "quality", "sqnr_db")) for record in records],
            "top1": [_short(_metric(record, "quality", "top1")) for record in records],
        },
    }


def details(runs: Sequence[Run]) -> dict[str, str]:
    """By model of the first run, as JSON: ``cells``, its records, and ``history``, what every run has of it.

    History has for each run, in their order, by configuration: status, speed-up, bytes, day, and which of the run's versions.
    """
    cells: dict[str, list[str]] = {}
    for record in sorted(runs[0].records, key=lambda record: (record.model, record.configuration)):
        cells.setdefault(record.model, []).append(_whole(record))
    history: dict[str, list[dict[str, Any]]] = {model: [{} for _ in runs] for model in cells}
    for number, run in enumerate(runs):
        versions = _versions(run)
        for record in run.records:
            if record.model in cells:
                history[record.model][number][record.configuration] = [
                    STATUSES.index(record.status),
                    _short(speedup(record)),
                    record.file_bytes,
                    record.created[:10],
                    versions[_as_key(record.versions)],
                ]
    return {model: f'{{"cells":[{",".join(records)}],"history":{as_json(history[model])}}}' for model, records in cells.items()}


def _whole(record: Record) -> str:
    """A record as JSON, but for what the summary has; errors by position, which are drawn, have three digits."""
    rest = record.model_dump_json(exclude={"schema_version", "model", "family", "task", "error_by_position"})
    return f'{rest[:-1]},"error_by_position":{as_json([_short(error, 3) for error in record.error_by_position])}}}'


def comparisons(runs: Sequence[Run]) -> dict[str, list[list[Any]]]:
    """What ``conformance.changes`` says of every two runs, by the numbers of the earlier and the later one: ``"3-0"``."""
    found = {}
    for later, earlier in itertools.combinations(range(len(runs)), 2):
        changes = compare(runs[earlier].records, runs[later].records)
        found[f"{earlier}-{later}"] = [
            [KINDS.index(change.kind), change.cell, change.figure, _short(change.before), _short(change.after), change.what]
            for change in changes
        ]
    return found


def as_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element, or begin a comment."""
    return json.dumps(inert_values(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def packed(text: str) -> str:
    """A text, in UTF-8, deflated (RFC 1950), in base64."""
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 6)).decode("ascii")


def _run(run: Run) -> dict[str, Any]:
    statuses: Counter[str] = Counter(record.status for record in run.records)
    return {
        "label": run.label,
        "source": run.source,
        "date": run.date,
        "cells": len(run.records),
        "statuses": {status: statuses[status] for status in STATUSES if statuses[status]},
        "scales": sorted({record.scale for record in run.records}),
        "versions": [dict(key) for key in _versions(run)],
    }


def _versions(run: Run) -> dict[tuple[tuple[str, str], ...], int]:
    """The versions that a run's records name, and their numbers."""
    return {key: number for number, key in enumerate(sorted({_as_key(record.versions) for record in run.records}))}


def _as_key(versions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(versions.items()))


def _metric(record: Record, check: str, name: str) -> float | None:
    value = record.checks[check].metrics.get(name) if check in record.checks else None
    return value if isinstance(value, (int, float)) else None


def _ranks(values: Iterable[str], first: Sequence[str] = ()) -> dict[str, int]:
    """The distinct values, those of ``first`` before others and these in alphabetical order, and their numbers."""
    distinct = set(values)
    ordered = [value for value in first if value in distinct] + sorted(distinct - set(first))
    return {value: number for number, value in enumerate(ordered)}


def _short(value: Any, digits: int = 4) -> Any:
    """A number with so many significant digits; anything else as it is."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
