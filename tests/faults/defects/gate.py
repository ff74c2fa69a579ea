"""Defects that no cell shows by itself: it takes what was accepted before. A seed is given the ``Side`` that is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.defects import defect

GEMMA = "gemma3-270m@xnnpack-fp32-sdpa-kv"
BERT = "bert-base@xnnpack-fp32"
EXPERIMENT = Path(__file__).parents[3] / "reports" / "gate-experiment.json"


@dataclass
class Side:
    """What is held against what was accepted."""

    cell: str
    record: Any = None
    """A copy of a passing ``Record``."""
    launches: Sequence[Mapping[str, Any]] = ()
    """The samples of launches; where there is none, latency is not judged."""


def experiment(cell: str) -> Mapping[str, Any]:
    """What ``benchmarks/gate_experiment.py`` measured: a ``record`` of the cell, and ``launches`` of the ``identical`` program
    and of one that was ``slowed``: it spun for 10 % of the time that each token, or call, had taken."""
    found = json.loads(EXPERIMENT.read_text(encoding="utf-8"))
    assert found["slowdown"] == 0.1
    told: Mapping[str, Any] = found["cells"][cell]
    return told


@defect("gate", GEMMA, BERT, caught_by="gate")
def kernels_ten_percent_slower(side):
    """Every call of the program takes a tenth longer than it did."""
    side.launches = experiment(side.cell)["launches"]["slowed"]


@defect("gate", GEMMA, caught_by="gate")
def a_changed_token(side):
    """The last token of a text is another."""
    side.record.generations[-1].tokens[-1] += 1


@defect("gate", GEMMA, caught_by="gate")
def a_token_less(side):
    """A text ends a token earlier."""
    side.record.generations[0].tokens.pop()


@defect("gate", GEMMA, caught_by="gate")
def a_lost_delegate(side):
    """A part of the graph is no longer delegated."""
    side.record.delegation["delegates"] -= 1


@defect("gate", GEMMA, caught_by="gate")
def a_delegate_more(side):
    """What was delegated as one is delegated in two parts."""
    side.record.delegation["delegates"] += 1


@defect("gate", GEMMA, caught_by="gate")
def an_operator_no_longer_delegated(side):
    """One operator runs in a portable kernel that ran in the delegate."""
    name = next(iter(side.record.delegation["delegated"]))
    left = side.record.delegation["undelegated"]
    left[name] = left.get(name, 0) + 1


@defect("gate", GEMMA, caught_by="gate")
def a_status(side):
    """A cell that passed fails."""
    side.record.status, side.record.reason = "fail", "tokens: 3 of 4 prompts answered with the tokens of eager"


@defect("gate", GEMMA, caught_by="gate")
def a_crash(side):
    """The process of a cell dies while it opens the program."""
    side.record.status, side.record.stages = "crash", side.record.stages[:6]


@defect("gate", GEMMA, caught_by="gate")
def nothing_proved(side):
    """A cell that passed is inconclusive."""
    side.record.status = "inconclusive"


@defect("gate", GEMMA, caught_by="gate")
def no_longer_applicable(side):
    """A configuration is refused that was exported before."""
    side.record.status, side.record.stages, side.record.file_bytes = "not_applicable", [], None


@defect("gate", GEMMA, caught_by="gate")
def an_excuse(side):
    """A failure is excused as known instead of mended."""
    side.record.status, side.record.issue = "known_failure", "https://example.org/1"


@defect("gate", GEMMA, caught_by="gate")
def a_stage_moved_back(side):
    """The last stage of a cell is not reached any more."""
    side.record.stages.pop()


@defect("gate", GEMMA, caught_by="gate")
def a_file_grown(side):
    """The file is more than a percent larger."""
    side.record.file_bytes = round(side.record.file_bytes * 1.011) + 1024


@defect("gate", GEMMA, caught_by="gate")
def a_method_less(side):
    """The program has lost its methods."""
    side.record.methods = []


@defect("gate", GEMMA, caught_by="gate")
def a_check_not_made(side):
    """A check that passed is not made any more."""
    del side.record.checks["cache_state"]
