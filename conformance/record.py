"""Records: what was found in one cell, as one JSON object, and the file of JSON Lines that holds them.

Everything that is shown (the matrix, the terminal, the gate) derives from records.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from conformance.errors import ConformanceError

STAGES = ("resolve", "baseline", "quantize", "export", "lower", "emit", "open", "run", "compare", "measure")
"""The stages of a cell, in order."""

Status = Literal[
    "pass",
    "fail",
    "crash",
    "oom",
    "timeout",
    "known_failure",
    "fixed",
    "not_applicable",
    "blocked",
    "inconclusive",
]

GREEN: frozenset[str] = frozenset({"pass", "known_failure", "not_applicable"})
"""Statuses that do not fail a run."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _finite(value: Any) -> Any:
    """``value`` with ``None`` for each number that JSON does not have (NaN and the infinities), at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


Figures = Annotated[dict[str, Any], BeforeValidator(_finite)]
"""Figures by name. A figure that is no finite number is ``None``."""


class StageRecord(_Schema):
    """A stage that was finished."""

    name: str
    seconds: float
    peak_memory_bytes: int | None = None
    cached: bool = False
    """The figures are those of the export that the cached artifact came from."""


class Failure(_Schema):
    """Why a cell ended early."""

    stage: str
    kind: str
    """The exception's class, the signal's name, or the limit."""
    message: str
    stderr: list[str] = Field(default_factory=list)
    """What the runtime printed: its reason is found nowhere else."""
    traceback: str = ""


class Check(_Schema):
    """The verdict of one check, with the figures it rests on."""

    status: Literal["pass", "fail", "inconclusive"]
    message: str
    metrics: Figures = Field(default_factory=dict)


class GenerationRecord(_Schema):
    """One reference prompt: what the baseline and the program said."""

    prompt: str
    prompt_tokens: int
    reference: list[int]
    tokens: list[int]
    text: str
    stop: str
    smallest_margin: Annotated[float | None, BeforeValidator(_finite)]
    diverged_at: int | None = None


class Record(_Schema):
    """One cell, once run."""

    schema_version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    model: str
    family: str
    task: str
    scale: str
    hub_id: str | None
    revision: str | None
    configuration: str
    status: Status
    reason: str = ""
    """One line: why the status is not ``pass``."""
    stages: list[StageRecord] = Field(default_factory=list)
    failure: Failure | None = None
    checks: dict[str, Check] = Field(default_factory=dict)
    generations: list[GenerationRecord] = Field(default_factory=list)
    latency: Figures = Field(default_factory=dict)
    file_bytes: int | None = None
    file_sha256: str | None = None
    delegated_share: float | None = None
    quantization: dict[str, Any] = Field(default_factory=dict)
    cache: list[dict[str, Any]] = Field(default_factory=list)
    max_seq_len: int | None = None
    sliding_window: int | None = None
    """The smallest window of the model's layers."""
    issue: str | None = None
    """Link of a known failure."""
    versions: dict[str, str] = Field(default_factory=dict)
    host: dict[str, Any] = Field(default_factory=dict)

    @property
    def cell(self) -> str:
        """``model@configuration``."""
        return f"{self.model}@{self.configuration}"

    @property
    def furthest_stage(self) -> str | None:
        """The last stage that was finished."""
        done = {stage.name for stage in self.stages}
        return next((stage for stage in reversed(STAGES) if stage in done), None)


def append(path: Path, record: Record) -> None:
    """Add a record to a file of JSON Lines, in one write, so that concurrent writers do not mix lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = record.model_dump_json(exclude_defaults=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def write(path: Path, records: Iterable[Record]) -> None:
    """Replace a file of JSON Lines, sorted by model and configuration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record.model_dump_json() + "\n" for record in sorted(records, key=lambda record: record.cell)]
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
    Path(partial).chmod(0o644)
    Path(partial).replace(path)


def check_mergeable(path: Path, *, scale: str) -> None:
    """Say before any work is done that ``merge`` cannot take records of ``scale`` into a file.

    Raises:
        ConformanceError: the file cannot be written or read, or holds records of another scale.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise ConformanceError(f"cannot write the records {path}: {error.strerror}. Name another file.") from error
    other = next((record.scale for record in read(path) if record.scale != scale), None)
    if other is not None:
        raise ConformanceError(f"{path} holds records of scale {other}, which {scale} would replace; name another file.")


def merge(path: Path, records: Iterable[Record]) -> None:
    """Put records into a file, in the place of earlier ones of the same cells; others that do so wait."""
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        merged = {record.cell: record for record in (read(path) if path.is_file() else [])}
        write(path, (merged | {record.cell: record for record in records}).values())


def read(path: Path) -> list[Record]:
    """The records of a file; the latest one of each cell.

    Raises:
        ConformanceError: the file is missing, or a line is no record of a version this code reads.
    """
    if not path.is_file():
        raise ConformanceError(f"there are no records at {path}. 'zoo run' makes them.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConformanceError(f"{path} is no file of records: {error}.") from error
    records: dict[str, Record] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ConformanceError(f"{path}, line {number} is no record: {where}: {first['msg']}.") from error
        records[record.cell] = record
    return list(records.values())
