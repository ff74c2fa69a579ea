"""Known failures: what is expected to go wrong, how exactly, and why."""

from __future__ import annotations

import datetime
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
    """A configuration id."""
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
        ExportConfig.from_id(self.configuration)
        if self.stage not in STAGES:
            raise ValueError(f"KnownFailure: {self.stage!r} is no stage; allowed: {', '.join(STAGES)}.")
        if not self.cause:
            raise ValueError(f"KnownFailure of {self.configuration}: say why it fails (cause=...).")
        re.compile(self.error)
        if self.until:
            datetime.date.fromisoformat(self.until)


def apply(record: Record, known: Sequence[KnownFailure], *, today: datetime.date | None = None) -> Record:
    """The record with its status judged against what is known: ``known_failure``, ``fixed``, or as it was."""
    expected = [failure for failure in known if failure.configuration == record.configuration]
    if not expected or record.status in ("not_applicable", "blocked"):
        return record
    if record.status == "pass":
        entry = expected[0]
        reason = (
            f"passes, but is listed as a known failure ({entry.cause}); remove "
            f"KnownFailure({entry.configuration!r}, stage={entry.stage!r}, ...) from its test file"
        )
        return record.model_copy(update={"status": "fixed", "reason": reason})
    stage = failed_stage(record)
    match = next((entry for entry in expected if entry.stage == stage and re.search(entry.error, record.reason)), None)
    if match is None:
        listed = "; ".join(f"stage {entry.stage}, error {entry.error!r}" for entry in expected)
        return record.model_copy(update={"reason": f"not the known failure ({listed}) but stage {stage}: {record.reason}"})
    if match.until and (today or datetime.date.today()) > datetime.date.fromisoformat(match.until):
        return record.model_copy(update={"reason": f"the known failure expired on {match.until}; look again: {record.reason}"})
    return record.model_copy(
        update={
            "status": "known_failure",
            "reason": f"{stage}: {record.reason}; cause: {match.cause}",
            "issue": match.issue or None,
        }
    )


def failed_stage(record: Record) -> str:
    """The stage at which a cell failed; a check that fails belongs to ``compare``."""
    return record.failure.stage if record.failure else "compare"
