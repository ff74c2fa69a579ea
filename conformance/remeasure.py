"""Timing a cell again, from its cached artifact, in a process of its own: a **launch**. Nothing is compared.

The record's ``latency["samples"]`` are of the kind that a cell's own stage ``measure`` leaves. ``conformance.launches`` starts
it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance import tasks
from conformance.cell import attempt
from conformance.record import Record
from conformance.tasks import stages
from conformance.trail import CellRequest, LaunchRequest, Trail
from zoo.model import Model


def time_cell(request: LaunchRequest, *, wrap: Callable[[Any], Any] = lambda session: session) -> Record:
    """Open the sessions of a cell and time them. It is called in a child process (``conformance.worker``).

    Args:
        request: The cell.
        wrap: Put around the session of the last program, by experiments.
    """

    def work(model: Model, _: CellRequest, trail: Trail, record: Record) -> None:
        bench = tasks.bencher(model)(model, request, trail)
        if request.programs:
            with trail.stage("open"):
                sessions = {name: bench.open(Path(path)) for name, path in request.programs}
        else:
            artifact = stages.exported(bench.checkpoint, bench.config, model, request, trail, record)
            with trail.stage("open"):
                program = bench.open(artifact.program, expected=artifact.account.file)
            sessions = {"eager": bench.eager, "executorch": program}
        first, last = (list(sessions)[index] for index in (0, -1))
        sessions[last] = wrap(sessions[last])
        with trail.stage("measure"):
            record.latency = bench.measure(sessions, blocks=request.blocks, against=first)

    return attempt(request, work)
