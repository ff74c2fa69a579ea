"""Runs one cell from checkpoint to record. It is called in a child process of its own (``conformance.worker``)."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import torch

from conformance import tasks
from conformance.record import Failure, Record, Status
from conformance.sessions.protocol import SessionError
from conformance.trail import CellRequest, Trail, blank_record
from exporters.errors import ExportError, NotApplicableError
from zoo import cache
from zoo.errors import ResourceError, ZooError
from zoo.model import Model


def run_cell(request: CellRequest) -> Record:
    """Run every stage; whatever is raised ends the cell and is written down with its stage."""

    def work(model: Model, request: CellRequest, trail: Trail, record: Record) -> None:
        tasks.runner(model)(model, request, trail, record)

    return attempt(request, work)


def attempt(request: CellRequest, work: tasks.Runner) -> Record:
    """The record of what ``work`` does with a cell; whatever it raises ends the cell and is written down with its stage."""
    model = request.known
    trail = Trail(Path(request.directory))
    record = blank_record(model, request, status="pass")
    try:
        work(model, request, trail, record)
        record.status, record.reason = verdict(record)
    except NotApplicableError as error:
        record.status, record.reason = "not_applicable", str(error)
    except ResourceError as error:
        record.status, record.failure = "blocked", _failure(trail, error)
    except MemoryError as error:
        record.status, record.failure = "oom", _failure(trail, error)
    except Exception as error:
        expected = isinstance(error, (SessionError, ExportError, ZooError))
        memory = not expected and any(
            text in str(error) for text in ("can't allocate memory", "bad_alloc", "Cannot allocate memory")
        )
        missing: Status = "oom" if memory else "blocked" if cache.is_full(error) else "fail"
        record.status, record.failure = missing, _failure(trail, error)
    record.stages = trail.stages
    if record.failure is not None:
        record.reason = " ".join(f"{record.failure.kind}: {record.failure.message}".split())
    return record


def verdict(record: Record) -> tuple[Any, str]:
    """Status and reason of a record whose stages all ended well."""
    for status in ("fail", "inconclusive"):
        found = [f"{name}: {check.message}" for name, check in record.checks.items() if check.status == status]
        if found:
            return status, "; ".join(found)
    return "pass", ""


def _failure(trail: Trail, error: BaseException) -> Failure:
    return Failure(
        stage=trail.current,
        kind=type(error).__name__,
        message=placeless(str(error).strip() or type(error).__name__),
        traceback=placeless("".join(traceback.format_exception(error)))[-6000:],
    )


def placeless(text: str) -> str:
    """A text without the places of this machine: records are compared and published."""
    places = {
        os.fspath(cache.root()): "$ZOO_CACHE",
        os.fspath(Path(torch.__file__).parents[1]): "site-packages",
        os.fspath(Path(__file__).parents[1]) + os.sep: "",
        f"{Path.cwd()}{os.sep}": "",
        os.path.expanduser("~") + os.sep: "~/",  # noqa: PTH111 - a text, not a path
    }
    for place, name in places.items():
        text = text.replace(place, name)
    return text
