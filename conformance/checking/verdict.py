"""What was found about a program: a row for each check, and what they come to."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from conformance.record import Check, Figures

COMPUTED = ("logits", "tokens", "cache_state")
"""The checks of what a program computes; without one of them nothing is proved."""


class Row(BaseModel):
    """A check."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    check: str
    result: Literal["pass", "fail", "inconclusive", "not compared"]
    message: str
    """What was found, with its limit; or why nothing was compared."""
    metrics: Figures = Field(default_factory=dict)


class Verdict(BaseModel):
    """The verdict on a program."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    schema_version: Literal[1] = 1
    program: str
    model: str
    """What it was compared with, as it was named."""
    task: str = ""
    layout: str = ""
    """The kind of program that was detected, and its methods."""
    status: Literal["pass", "fail", "crash", "oom", "timeout", "blocked", "inconclusive"] = "inconclusive"
    message: str = ""
    """One line: what the status rests on."""
    rows: list[Row] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)

    def add(self, name: str, check: Check) -> None:
        """Add a check that was made."""
        self.rows.append(Row(check=name, result=check.status, message=check.message, metrics=check.metrics))

    def leave(self, name: str, reason: str) -> None:
        """Add a check that cannot be made."""
        self.rows.append(Row(check=name, result="not compared", message=reason))

    def conclude(self) -> None:
        """Set the status: a failure decides; without a passed check of what the program computes nothing is proved."""
        for status in ("fail", "inconclusive"):
            # A row may tell a lot; one line has the first of it.
            found = [f"{row.check}: {row.message.split('; ')[0]}" for row in self.rows if row.result == status]
            if found:
                self.status, self.message = status, "; ".join(found)
                return
        computed = [row for row in self.rows if row.result == "pass" and row.check in COMPUTED]
        if not computed:
            left = [f"{row.check}: {row.message}" for row in self.rows if row.result == "not compared"]
            self.status, self.message = "inconclusive", "nothing that the program computes was compared: " + "; ".join(left)
            return
        self.status, self.message = "pass", "; ".join(row.message for row in computed)
