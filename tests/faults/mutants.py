"""A cell with a defect in it: what its child process runs, and what the record says of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conformance.record import Record
from conformance.trail import CellRequest
from tests.faults import defects
from tests.faults.defects import Defect


@dataclass(frozen=True)
class MutantRequest(CellRequest):
    """What the child is told."""

    defect: str | None = None
    """The id of a defect; ``None`` runs the sound cell."""


def run(request: MutantRequest) -> Record:
    """Run a cell with a defect, as any other cell is run."""
    from conformance.cell import run_cell
    from conformance.tasks import stages

    if request.defect is None:
        return run_cell(request)
    found = defects.load()[request.defect]
    directory = Path(request.directory) / "artifact"
    with pytest.MonkeyPatch.context() as patch:
        if found.place == "exporter":
            patch.setattr(stages, "cached_export", _exported_anew(found, directory))
        elif found.place == "artifact":
            patch.setattr(stages, "cached_export", _changed(found, directory, stages.cached_export))
        else:
            found.seed(patch)
        return run_cell(request)


def _exported_anew(defect: Defect, directory: Path) -> Any:
    """In place of ``cached_export``: nothing of a defective exporter gets into the cache."""

    def export(checkpoint: Path, config: Any, *, task: str, on_stage: Any = None, **_: Any) -> Any:
        from exporters import pipeline

        with pytest.MonkeyPatch.context() as patch:
            defect.seed(patch)
            return pipeline.export(checkpoint, config, directory, task=task, on_stage=on_stage), False

    return export


def _changed(defect: Defect, directory: Path, cached_export: Any) -> Any:
    """In place of ``cached_export``: a changed copy of what is in the cache."""

    def export(*arguments: Any, **options: Any) -> Any:
        from exporters.artifact import Artifact

        artifact, cached = cached_export(*arguments, **options)
        shutil.copytree(artifact.directory, directory)
        defect.seed(directory)
        return Artifact.load(directory), cached

    return export


def failed(record: Record) -> list[str]:
    """What caught the defect: the checks that did not pass, and the stage at which the cell ended."""
    found = [name for name, check in record.checks.items() if check.status != "pass"]
    return found if record.failure is None else [*found, f"stage {record.failure.stage}"]


def said(record: Record, by: str) -> str:
    """What was said of it, in a line."""
    told = record.checks[by].message if by in record.checks else record.reason
    return told.splitlines()[0]
