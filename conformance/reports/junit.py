"""Records as JUnit XML: a suite a model, a test case a cell. What most CI systems read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from xml.etree import ElementTree

from conformance.inert import inert
from conformance.record import Record

OUTCOME: Mapping[str, str | None] = MappingProxyType(
    {
        "pass": None,
        "known_failure": "skipped",
        "not_applicable": "skipped",
        "fail": "failure",
        "fixed": "failure",
        "inconclusive": "failure",
        "crash": "error",
        "oom": "error",
        "timeout": "error",
        "blocked": "error",
    }
)
"""The element that a status becomes; ``type`` in it keeps ours. ``failure``: a check did not hold; ``error``: the cell did not
get to its end."""

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (https://www.w3.org/TR/xml/#charsets)."""


def render_junit(records: Sequence[Record]) -> str:
    """The report's text. Times are of the stages that were run, in seconds."""
    models: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.cell):
        models.setdefault(record.model, []).append(record)
    root = ElementTree.Element("testsuites", {"name": "executorch-zoo", **_totals(records)})
    for model, members in models.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": legal(model), **_totals(members)})
        suite.set("timestamp", legal(min(record.created for record in members)))
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in _properties(members).items():
            ElementTree.SubElement(properties, "property", {"name": legal(name), "value": legal(value)})
        for record in members:
            suite.append(_case(record))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def legal(text: str) -> str:
    """A text with U+FFFD for each character that XML cannot hold or that a terminal obeys, and line ends as XML reads them."""
    return _ILLEGAL.sub("\ufffd", inert(text.replace("\r\n", "\n").replace("\r", "\n")))


def _case(record: Record) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        {
            "classname": legal(f"{record.task}.{record.model}"),
            "name": legal(record.configuration),
            "time": _time([record]),
            "file": legal(f"zoo/models/{record.family}.py"),
        },
    )
    outcome = OUTCOME[record.status]
    if outcome is not None:
        reason = f"{record.reason} ({record.issue})" if record.issue else record.reason
        element = ElementTree.SubElement(case, outcome, {"type": record.status, "message": legal(reason)})
        if record.failure is not None and outcome != "skipped":
            element.text = legal(record.failure.traceback)
    if record.checks:
        ElementTree.SubElement(case, "system-out").text = legal(
            "\n".join(f"{name}: {check.status}: {check.message}" for name, check in record.checks.items())
        )
    if record.failure is not None and record.failure.stderr:
        ElementTree.SubElement(case, "system-err").text = legal("\n".join(record.failure.stderr))
    return case


def _totals(records: Sequence[Record]) -> dict[str, str]:
    outcomes = [OUTCOME[record.status] for record in records]
    return {
        "tests": str(len(records)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
        "skipped": str(outcomes.count("skipped")),
        "time": _time(records),
    }


def _properties(records: Sequence[Record]) -> dict[str, str]:
    """What the records of a model have in common, or the different values of it."""
    found: dict[str, set[str]] = {}
    for record in records:
        facts = {"family": record.family, "task": record.task, "scale": record.scale, "hub_id": record.hub_id or ""}
        for name, value in (facts | record.versions).items():
            found.setdefault(name, set()).add(value)
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def _time(records: Sequence[Record]) -> str:
    return f"{sum(stage.seconds for record in records for stage in record.stages if not stage.cached):.3f}"
