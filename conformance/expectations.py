"""Known failures: what is expected to go wrong, how exactly, why, and until when."""

from __future__ import annotations

import collections
import datetime
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.record import STAGES, UNPROVED, Record
from conformance.reports.figures import link
from exporters.config import ExportConfig


def today() -> datetime.date:
    """The day that expiry dates are held against, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).date()


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
    """Where it is tracked: an address, or a page under docs/. Required."""
    until: str = ""
    """The last day it holds (YYYY-MM-DD), after which somebody has to look again. Required."""

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
        if link(self.issue) is None:
            raise ValueError(
                f"KnownFailure of {self.configuration}: say where it is tracked; issue={self.issue!r} is neither an address "
                "(https://...) nor a page under docs/."
            )
        if not _is_date(self.until):
            raise ValueError(
                f"KnownFailure of {self.configuration}: say until when it may stand; until={self.until!r} is no date such as "
                "until='2027-05-22'."
            )

    def __str__(self) -> str:
        return f"KnownFailure({self.configuration!r}, stage={self.stage!r}, ...)"

    def covers(self, configuration: str) -> bool:
        """Whether it is about a configuration id."""
        return fnmatch.fnmatchcase(configuration, self.configuration)

    def expired(self, day: datetime.date | None = None) -> bool:
        """Whether its last day was before ``day`` (default: today)."""
        return datetime.date.fromisoformat(self.until) < (day or today())

    @property
    def renewal(self) -> str:
        """What to do once it has expired."""
        return (
            f"{self} expired on {self.until}: look at it again ({self.issue}), then remove it from its test file, or correct "
            "it and give it a later until=..."
        )


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def apply(record: Record, known: Sequence[KnownFailure], *, today: datetime.date | None = None) -> Record:
    """The record with its status judged against what is known: ``known_failure``, ``fixed``, or as it was."""
    expected = [failure for failure in known if failure.covers(record.configuration)]
    if not expected or record.status == "not_applicable" or record.status in UNPROVED:
        return record
    if record.status == "pass":
        entry = expected[0]
        reason = (
            f"passes, but is listed as a known failure ({entry.cause}); remove {entry} from its test file: "
            "zoo expectations --update"
        )
        return record.model_copy(update={"status": "fixed", "reason": reason})
    stage = failed_stage(record)
    excused = [next((entry for entry in expected if _excuses(entry, *found)), None) for found in _failures(record)]
    match = next((entry for entry in excused if entry is not None), None)
    if match is None or None in excused:
        listed = "; ".join(f"stage {entry.stage}, error {entry.error!r}" for entry in expected)
        return record.model_copy(update={"reason": f"not the known failure ({listed}) but stage {stage}: {record.reason}"})
    expired = next((entry for entry in excused if entry is not None and entry.expired(today)), None)
    if expired is not None:
        return record.model_copy(update={"reason": f"{expired.renewal}; {record.reason}"})
    return record.model_copy(
        update={
            "status": "known_failure",
            "reason": f"{stage}: {record.reason}; cause: {match.cause}",
            "issue": match.issue,
        }
    )


def _excuses(entry: KnownFailure, stage: str, message: str) -> bool:
    return entry.stage == stage and re.search(entry.error, message) is not None


def _failures(record: Record) -> list[tuple[str, str]]:
    """What has to be excused, stages and messages: the failure that ended the cell, and each check that did not hold. What
    proves nothing is at no stage, so that nothing excuses it."""
    found = [("compare", f"{name}: {check.message}") for name, check in record.checks.items() if check.status == "fail"]
    found += [("", name) for name, check in record.checks.items() if check.status == "inconclusive"]
    if record.failure is not None:
        found.append((record.failure.stage, record.reason))
    return found or [("compare", record.reason)]


def failed_stage(record: Record) -> str:
    """The stage at which a cell failed; a check that fails belongs to ``compare``."""
    return record.failure.stage if record.failure else "compare"


STATES = ("holds", "fixed", "expired", "matches nothing")


@dataclass(frozen=True)
class Standing:
    """What records say of a known failure."""

    entry: KnownFailure
    state: str
    """``holds``: cells fail as it says; ``fixed``: a cell that it covers passes; ``expired``: its date has gone by; ``matches
    nothing``: it covers nothing that passes and nothing that fails as it says."""
    failing: tuple[str, ...]
    """The configurations that fail as it says."""
    passing: tuple[str, ...]
    """The configurations that it covers and that pass."""
    others: str
    """How many records it covers that do neither, by status."""

    @property
    def told(self) -> str:
        """One line about the cells."""
        parts = [f"fails as it says: {', '.join(self.failing)}" if self.failing else ""]
        parts.append(f"passes: {', '.join(self.passing)}" if self.passing else "")
        parts.append(self.others)
        return "; ".join(filter(None, parts)) or "no record of what it covers"


def standing(entry: KnownFailure, records: Iterable[Record], *, today: datetime.date | None = None) -> Standing:
    """The state of an entry against records of its model."""
    covered = [record for record in records if entry.covers(record.configuration)]
    passing = [record for record in covered if record.status in ("pass", "fixed")]
    failing = [record for record in covered if _fails_as_said(entry, record)]
    done = {record.configuration for record in (*passing, *failing)}
    others = collections.Counter(record.status for record in covered if record.configuration not in done)
    state = "matches nothing"
    if passing:
        state = "fixed"
    elif entry.expired(today):
        state = "expired"
    elif failing:
        state = "holds"
    return Standing(
        entry,
        state,
        tuple(record.configuration for record in failing),
        tuple(record.configuration for record in passing),
        ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(others.items())),
    )


def _fails_as_said(entry: KnownFailure, record: Record) -> bool:
    if record.status not in ("known_failure", "fail", "crash", "oom", "timeout"):
        return False
    before = record.model_copy(update={"reason": _unjudged(record)})
    return any(_excuses(entry, *found) for found in _failures(before))


def _unjudged(record: Record) -> str:
    """The reason as it was before ``apply`` added the stage and the cause."""
    if record.status != "known_failure":
        return record.reason
    return record.reason.removeprefix(f"{failed_stage(record)}: ").rpartition("; cause: ")[0] or record.reason
