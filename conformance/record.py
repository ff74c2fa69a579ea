"""Records: what was found in one cell, as one JSON object, and the file of JSON Lines that holds them.

Everything that is shown (the matrix, the terminal, the gate) derives from records.
"""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from conformance import files
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

UNPROVED: frozenset[str] = frozenset({"blocked", "inconclusive"})
"""Statuses of cells about which nothing is known. They are never green, whatever was accepted or expected."""


MOST_BYTES = 1 << 30
"""Of a file of records; a cell's record has a few tens of kB."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


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
    reference_pieces: list[str] = Field(default_factory=list)
    """The tokens of ``reference`` as text, one by one; only where ``tokens`` are others."""
    pieces: list[str] = Field(default_factory=list)
    """The tokens of ``tokens`` likewise."""


class Record(_Schema):
    """One cell, once run."""

    schema_version: Literal[1, 2] = 2
    """Version 2 added methods, delegation, error_by_position, pieces, and the samples of latency."""
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
    error_by_position: Annotated[list[float | None], BeforeValidator(_finite)] = Field(default_factory=list)
    """Largest absolute error of the logits (or hidden states) at each compared position, one text after the other, against the
    baseline."""
    latency: Figures = Field(default_factory=dict)
    """Figures by session; ``samples`` has by phase and session the seconds of a step, one for each block, paired."""
    methods: list[str] = Field(default_factory=list)
    """The program's entry points."""
    file_bytes: int | None = None
    file_sha256: str | None = None
    delegated_share: float | None = None
    delegation: dict[str, Any] = Field(default_factory=dict)
    """How many delegates there are, and by operator how many run in them (``delegated``) and outside (``undelegated``)."""
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
    """Add a record to a file of JSON Lines, whole or not at all, so that concurrent writers do not mix lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.append_line(path, record.model_dump_json(exclude_defaults=False))


def _is_directory(path: Path) -> bool:
    """Whether records are kept there in a file for each model: a directory, or a name that no file of JSON Lines has."""
    return path.is_dir() or (not path.exists() and not path.suffix)


def write(path: Path, records: Iterable[Record]) -> None:
    """Replace what is recorded at ``path``: a file of JSON Lines, sorted by model and configuration, or a directory with such a
    file for each model."""
    ordered = sorted(records, key=lambda record: record.cell)
    if not _is_directory(path):
        _write_lines(path, ordered)
        return
    path.mkdir(parents=True, exist_ok=True)
    kept = set()
    for model, of_model in itertools.groupby(ordered, key=lambda record: record.model):
        kept.add(place(path, model))
        _write_lines(place(path, model), list(of_model))
    for file in set(path.glob("*.jsonl")) - kept:
        file.unlink()


def place(directory: Path, model: str) -> Path:
    """The file of a model's records in a directory of them.

    Raises:
        ConformanceError: the name leads elsewhere.
    """
    return directory / f"{file_name(model)}.jsonl"


def file_name(name: str) -> str:
    """A name from a record, if a file can be called so.

    Raises:
        ConformanceError: it would be another directory's, or no file's.
    """
    if not re.fullmatch(r"[^/\\\0\n]{1,200}", name) or name.startswith("."):
        raise ConformanceError(f"{name!r} in the records can name no file: no / or \\, no . in front, at most 200 letters.")
    return name


def _write_lines(path: Path, records: Sequence[Record]) -> None:
    """Replace a file at once, unless it says the same already."""
    text = "".join(record.model_dump_json() + "\n" for record in records)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, text)


def check_mergeable(path: Path, *, scale: str) -> None:
    """Say before any work is done that ``merge`` cannot take records of ``scale`` into a file or a directory.

    Raises:
        ConformanceError: it cannot be written or read, or holds records of another scale.
    """
    try:
        if _is_directory(path):
            path.mkdir(parents=True, exist_ok=True)
            strangers = sorted(entry.name for entry in path.iterdir() if entry.suffix != ".jsonl")
            if strangers:
                raise ConformanceError(
                    f"cannot write the records {path}: it is a directory of other things ({strangers[0]}). Name another one, "
                    "or a file."
                )
            tempfile.TemporaryFile(dir=path).close()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8"):
                pass
    except OSError as error:
        raise ConformanceError(f"cannot write the records {path}: {error.strerror}. Name another file.") from error
    other = next((record.scale for record in _existing(path) if record.scale != scale), None)
    if other is not None:
        raise ConformanceError(f"{path} holds records of scale {other}, which {scale} would replace; name another file.")


def merge(path: Path, records: Iterable[Record]) -> None:
    """Put records into a file or a directory, in the place of earlier ones of the same cells; others that do so wait."""
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        merged = {record.cell: record for record in _existing(path)}
        write(path, (merged | {record.cell: record for record in records}).values())


def _existing(path: Path) -> list[Record]:
    return read(path) if path.is_file() or (path.is_dir() and any(path.glob("*.jsonl"))) else []


def read(path: Path) -> list[Record]:
    """The records of a file of JSON Lines, or of a directory of such files; the latest one of each cell.

    Raises:
        ConformanceError: there is none, or a line is no record of a version this code reads.
    """
    files = [file for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path]) if file.is_file()]
    if not files:
        raise ConformanceError(f"there are no records at {path}. 'zoo run' makes them.")
    records: dict[str, Record] = {}
    for file in files:
        for record in _read_lines(file):
            records[record.cell] = record
    return list(records.values())


def _read_lines(path: Path) -> Iterator[Record]:
    if path.stat().st_size > MOST_BYTES:
        raise ConformanceError(f"{path} has {path.stat().st_size} bytes, and records of a run have at most {MOST_BYTES}.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConformanceError(f"{path} is no file of records: {error}.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield Record.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            if number == text.count("\n") + 1 and "EOF" in first["msg"]:
                raise ConformanceError(
                    f"{path}, line {number} ends in the middle: whoever wrote it was killed, or the disk was full. Delete that "
                    f"line; in a run's directory 'zoo run --resume {path.parent}' does so and goes on."
                ) from error
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ConformanceError(f"{path}, line {number} is no record: {where}: {first['msg']}.") from error
