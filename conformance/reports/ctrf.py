"""Records as a CTRF report (Common Test Report Format, https://ctrf.io): one test a cell."""

from __future__ import annotations

import collections
import datetime
import importlib.metadata
import json
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from conformance.inert import inert_values
from conformance.record import Record

SPEC_VERSION = "0.0.0"
"""The version that the schema of the npm package ctrf 0.3.0 describes."""

STATUS: Mapping[str, str] = MappingProxyType(
    {
        "pass": "passed",
        "known_failure": "other",
        "not_applicable": "skipped",
        "blocked": "failed",
        "fail": "failed",
        "crash": "failed",
        "oom": "failed",
        "timeout": "failed",
        "fixed": "failed",
        "inconclusive": "failed",
    }
)
"""What a status is in CTRF. ``rawStatus`` keeps ours. Whatever fails a run is ``failed``: ``blocked`` too, because readers of
CTRF count what is pending as green. A known failure was run and did not pass, so it is neither passed nor skipped."""


def render_ctrf(records: Sequence[Record]) -> str:
    """The report's text, the same for the same records. Times are of the stages that were run, not of cached ones."""
    tests = [_test(record) for record in sorted(records, key=lambda record: record.cell)]
    counts = collections.Counter(test["status"] for test in tests)
    starts = [test["start"] for test in tests]
    stops = [test["stop"] for test in tests]
    versions = sorted({f"{name} {version}" for record in records for name, version in record.versions.items()})
    report = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "reportId": str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(record.model_dump_json() for record in records))),
        "generatedBy": "zoo export-records",
        "results": {
            "tool": {"name": "executorch-zoo", "version": importlib.metadata.version("executorch-zoo")},
            "summary": {
                "tests": len(tests),
                **{status: counts[status] for status in ("passed", "failed", "skipped", "pending", "other")},
                "suites": len({tuple(test["suite"]) for test in tests}),
                "start": min(starts, default=0),
                "stop": max(stops, default=0),
            },
            "tests": tests,
            "environment": {"appName": "executorch-zoo", "extra": {"versions": versions}},
        },
    }
    return json.dumps(inert_values(report), indent=1, ensure_ascii=False) + "\n"


def _test(record: Record) -> dict[str, Any]:
    start = round(1000 * _created(record).timestamp())
    duration = round(1000 * sum(stage.seconds for stage in record.stages if not stage.cached))
    test: dict[str, Any] = {
        "name": record.cell,
        "testId": f"{record.cell}@{record.scale}",
        "status": STATUS[record.status],
        "rawStatus": record.status,
        "duration": duration,
        "start": start,
        "stop": start + duration,
        "suite": [record.task, record.family, record.model],
        "type": "conformance",
        "filePath": f"zoo/models/{record.family}.py",
        "labels": {"configuration": record.configuration, "scale": record.scale},
        "steps": [_step(name, check.status) for name, check in record.checks.items()],
        "extra": {
            "stages": [stage.name for stage in record.stages],
            "file_bytes": record.file_bytes,
            "checks": {name: check.message for name, check in record.checks.items()},
            "issue": record.issue,
        },
    }
    if record.reason:
        test["message"] = record.reason
    if record.failure is not None:
        test |= {"trace": record.failure.traceback, "stderr": record.failure.stderr}
        test["extra"]["failure"] = {"stage": record.failure.stage, "kind": record.failure.kind}
    return test


def _step(name: str, status: str) -> dict[str, Any]:
    return {"name": name or "unnamed", "status": {"pass": "passed"}.get(status, "failed")}


def _created(record: Record) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(record.created)
    except ValueError:  # nothing but ours writes records; a strange date is no reason to lose a report
        found = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
