"""Badges: the JSON that shields.io draws from a web address (https://shields.io/badges/endpoint-badge)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from conformance.inert import inert_line
from conformance.record import Record, file_name

FAILED = ("fail", "crash", "oom", "timeout", "fixed")


def render_badges(records: Sequence[Record]) -> dict[str, str]:
    """``{name: JSON}``: ``all``, and one for each task and family that has records."""
    badges = {"all": _badge("ExecuTorch conformance", records)}
    for label in sorted({record.task for record in records}):
        badges[file_name(f"task-{label}")] = _badge(label, [record for record in records if record.task == label])
    for label in sorted({record.family for record in records}):
        badges[file_name(f"family-{label}")] = _badge(label, [record for record in records if record.family == label])
    return badges


def _badge(label: str, records: Sequence[Record]) -> str:
    applicable = [record for record in records if record.status != "not_applicable"]
    passing = sum(record.status == "pass" for record in applicable)
    if not applicable:
        message, color = "no cells", "lightgrey"
    else:
        message = f"{passing} of {len(applicable)} cells pass"
        failing = any(record.status in FAILED for record in applicable)
        color = "red" if failing else "brightgreen" if passing == len(applicable) else "yellow"
    return json.dumps({"schemaVersion": 1, "label": inert_line(label), "message": message, "color": color}, indent=1) + "\n"
