"""Baselines: what was accepted of each cell, a small file for each model under ``reports/baselines/``.

``zoo baseline --update`` writes them, ``zoo gate`` holds runs against them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conformance import files, statistics
from conformance.errors import ConformanceError
from conformance.record import Record, Status

BASELINES = Path("reports/baselines")
ENVIRONMENT = ("processor", "machine", "threads")
"""What two hosts must have in common for their speeds to be compared."""
MOST_LAUNCHES = 12
"""Launches that a baseline keeps of a phase: the first ones. Their mean moves by less than 1 % from there on."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LaunchEntry(_Schema):
    """What one process said (``statistics.Launch``)."""

    ratio: float
    """Logarithm of the program's fastest time over eager PyTorch's."""
    eager: float
    """Eager PyTorch's fastest time, in seconds."""


class Entry(_Schema):
    """The figures of a cell that are held against those of a later run."""

    status: Status
    reason: str = ""
    issue: str | None = None
    furthest_stage: str | None = None
    checks: dict[str, str] = Field(default_factory=dict)
    """Status of each check."""
    methods: tuple[str, ...] = ()
    file_bytes: int | None = None
    file_sha256: str | None = None
    delegates: int | None = None
    undelegated: dict[str, int] | None = None
    """How many operators of a name run outside of delegates; ``None`` where it was not recorded."""
    quantized_share: float | None = None
    """Of the weights of linear layers, from 0 to 1."""
    reference_sha256: str | None = None
    """Of the tokens that eager PyTorch answers to the prompts."""
    tokens_sha256: str | None = None
    """Of those that the program answers."""
    created: str
    scale: str
    versions: dict[str, str]
    host: dict[str, Any]
    latency: dict[str, tuple[LaunchEntry, ...]] = Field(default_factory=dict)
    """By phase (``decode``, ``prefill``, ``infer``)."""

    def launches(self, phase: str) -> list[statistics.Launch]:
        """The launches of a phase."""
        return [statistics.Launch(each.ratio, each.eager) for each in self.latency.get(phase, ())]


class Baseline(_Schema):
    """The content of a file."""

    schema_version: Literal[1] = 1
    model: str
    cells: dict[str, Entry]
    """By configuration."""


def entry(record: Record, samples: Iterable[Mapping[str, Any]] = ()) -> Entry:
    """The figures of a record.

    Args:
        record: One cell, once run.
        samples: ``latency["samples"]`` of further launches.
    """
    share = record.quantization.get("linear_share")
    latency: dict[str, list[LaunchEntry]] = {}
    for launch in (record.latency.get("samples") or {}, *samples):
        for phase, sides in launch.items():
            if sides.get("eager") and sides.get("executorch"):
                found = statistics.launch(sides["eager"], sides["executorch"])
                told = LaunchEntry(ratio=round(found.ratio, 4), eager=float(f"{found.reference:.3e}"))
                latency.setdefault(phase, []).append(told)
    return Entry(
        status=record.status,
        reason=record.reason if record.status != "pass" else "",
        issue=record.issue,
        furthest_stage=record.furthest_stage,
        checks={name: check.status for name, check in sorted(record.checks.items())},
        methods=tuple(record.methods),
        file_bytes=record.file_bytes,
        file_sha256=record.file_sha256,
        delegates=record.delegation.get("delegates"),
        undelegated=dict(sorted(record.delegation["undelegated"].items())) if "undelegated" in record.delegation else None,
        quantized_share=share,
        reference_sha256=_digest([said.reference for said in record.generations]),
        tokens_sha256=_digest([said.tokens for said in record.generations]),
        created=record.created,
        scale=record.scale,
        versions=dict(sorted(record.versions.items())),
        host={name: record.host[name] for name in ENVIRONMENT if name in record.host},
        latency={phase: tuple(found[:MOST_LAUNCHES]) for phase, found in sorted(latency.items())},
    )


def _digest(texts: Sequence[Sequence[int]]) -> str | None:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16] if texts else None


def place(directory: Path, model: str) -> Path:
    """The file of a model's baseline."""
    return directory / f"{model}.json"


def read(directory: Path, models: Iterable[str]) -> dict[str, Entry]:
    """The entries of models by cell (``model@configuration``); a model without a file has none.

    Raises:
        ConformanceError: a file is no baseline of a version that this code reads.
    """
    found: dict[str, Entry] = {}
    for model in models:
        path = place(directory, model)
        if not path.is_file():
            continue
        try:
            baseline = Baseline.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConformanceError(f"{path} cannot be read: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ConformanceError(
                f"{path} is no baseline: {where}: {first['msg']}. Delete it; 'zoo baseline --update {model}' writes it anew."
            ) from error
        if baseline.model != model:
            raise ConformanceError(f"{path} is the baseline of {baseline.model}; a file is named like its model.")
        found |= {f"{model}@{configuration}": each for configuration, each in baseline.cells.items()}
    return found


def write(directory: Path, model: str, cells: Mapping[str, Entry]) -> bool:
    """Write the baseline of a model, at once; without cells there is to be no file.

    Args:
        directory: Where baselines are.
        model: A registry name.
        cells: By configuration.

    Returns:
        Whether the file is another one now.
    """
    path = place(directory, model)
    if not cells:
        there = path.is_file()
        path.unlink(missing_ok=True)
        return there
    text = _text(Baseline(model=model, cells=dict(sorted(cells.items()))))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    files.replace(path, text)
    return True


def _text(baseline: Baseline) -> str:
    """JSON that is stable and has a line for each figure, so that a change reads as one; lists of numbers take one line."""
    text = json.dumps(baseline.model_dump(exclude_defaults=True) | {"schema_version": baseline.schema_version}, indent=1)
    return re.sub(r"\[\s+([-+.\deE,\s]+?)\s+\]", lambda match: "[" + " ".join(match[1].split()) + "]", text) + "\n"


def update(directory: Path, entries: Mapping[str, Entry], *, configurations: Mapping[str, Iterable[str]]) -> list[Path]:
    """Put entries into the baselines, in the place of earlier ones of the same cells.

    Args:
        directory: Where baselines are.
        entries: By cell.
        configurations: The configurations that a model may be run under, by model; entries of others go.

    Returns:
        The files that changed.
    """
    changed = []
    for model, allowed in sorted(configurations.items()):
        cells = {f"{model}@{name}" for name in allowed}
        kept = {cell: old for cell, old in read(directory, [model]).items() if cell in cells}
        kept |= {cell: found for cell, found in entries.items() if cell in cells}
        if write(directory, model, {cell.partition("@")[2]: each for cell, each in kept.items()}):
            changed.append(place(directory, model))
    return changed
