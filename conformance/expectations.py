"""Known failures: what is expected to go wrong, how exactly, and why."""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.record import STAGES, Record
from exporters.config import ExportConfig


@dataclass(frozen=True)
class KnownFailure:
    """A cell that fails for a cause that was found out. It excuses this failure only: another stage or another error
    fails the run, and so does a pass (``fixed``) and an expiry date that has gone by."""

    configuration: str
    """A configuration id, or a pattern of ids in which ``*`` stands for anything."""
    stage: str
    """The stage that fails."""
    error: str
    """A regular expression found in the failure's message."""
    cause: str
    """Why, in one sentence."""
    issue: str = ""
    """Where it is tracked."""
    until: str = ""
    """ISO date after which somebody has to look again."""

    def __post_init__(self) -> None:
        if "*" not in self.configuration:
            ExportConfig.from_id(self.configuration)
        if self.stage not in STAGES:
            raise ValueError(f"KnownFailure: {self.stage!r} is no stage; allowed: {', '.join(STAGES)}.")
        if not self.cause:
            raise ValueError(f"KnownFailure of {self.configuration}: say why it fails (cause=...).")
        if not self.error:
            raise ValueError(f"KnownFailure of {self.configuration}: say which error (error=...); an empty one excuses all.")
        re.compile(self.error)
        if self.until:
            datetime.date.fromisoformat(self.until)

    def covers(self, configuration: str) -> bool:
        """Whether it is about a configuration id."""
        return fnmatch.fnmatchcase(configuration, self.configuration)


def apply(record: Record, known: Sequence[KnownFailure], *, today: datetime.date | None = None) -> Record:
    """The record with its status judged against what is known: ``known_failure``, ``fixed``, or as it was."""
    expected = [failure for failure in known if failure.covers(record.configuration)]
    if not expected or record.status in ("not_applicable", "blocked", "inconclusive"):
        return record
    if record.status == "pass":
        entry = expected[0]
        reason = (
            f"passes, but is listed as a known failure ({entry.cause}); remove "
            f"KnownFailure({entry.configuration!r}, stage={entry.stage!r}, ...) from its test file"
        )
        return record.model_copy(update={"status": "fixed", "reason": reason})
    stage = failed_stage(record)
    excused = [
        next((entry for entry in expected if entry.stage == stage and re.search(entry.error, found)), None)
        for found in _failures(record)
    ]
    match = next((entry for entry in excused if entry is not None), None)
    if match is None or None in excused:
        listed = "; ".join(f"stage {entry.stage}, error {entry.error!r}" for entry in expected)
        return record.model_copy(update={"reason": f"not the known failure ({listed}) but stage {stage}: {record.reason}"})
    today = today or datetime.date.today()
    match = next((entry for entry in excused if entry is not None and _expired(entry, today)), match)
    if _expired(match, today):
        return record.model_copy(update={"reason": f"the known failure expired on {match.until}; look again: {record.reason}"})
    return record.model_copy(
        update={
            "status": "known_failure",
            "reason": f"{stage}: {record.reason}; cause: {match.cause}",
            "issue": match.issue or None,
        }
    )


def _expired(entry: KnownFailure, today: datetime.date) -> bool:
    return bool(entry.until) and today > datetime.date.fromisoformat(entry.until)


def _failures(record: Record) -> list[str]:
    """What has to be excused: the failure that ended the cell, or each check that did not hold."""
    if record.failure is not None:
        return [record.reason]
    return [f"{name}: {check.message}" for name, check in record.checks.items() if check.status != "pass"] or [record.reason]


def failed_stage(record: Record) -> str:
    """The stage at which a cell failed; a check that fails belongs to ``compare``."""
    return record.failure.stage if record.failure else "compare"
