"""What a cell's child process is told, and the breadcrumbs and the record it leaves."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.record import Record, StageRecord
from exporters.artifact import StageTime
from zoo import cache, registry
from zoo.errors import ResourceError
from zoo.model import Model

MOVE = "Free some, then continue with 'zoo run --resume', or start a run elsewhere with --run."
"""What to do where a run's directory takes no more."""
MOST_BYTES = 1 << 20
"""Of a trail; a cell's has a few kB."""


@dataclass(frozen=True)
class CellRequest:
    """What a child process is told to do."""

    model: str
    """A registry name."""
    configuration: str
    directory: str
    """Where the child leaves its breadcrumbs, its output and its record."""
    scale: str = "twin"
    threads: int = 1
    """Threads of PyTorch and of the runtime, while measuring too."""
    max_seq_len: int | None = None
    """Cache length at other scales than ``twin``; 128 when it is not given."""
    stock_lowering: bool = False
    """Lower without ``exporters.lowering``."""
    row: Model | None = None
    """The model itself; where it is not given, the registry knows the name."""

    @property
    def known(self) -> Model:
        """The model.

        Raises:
            ZooError: the registry does not know it.
        """
        return self.row or registry.get(self.model)


@dataclass(frozen=True)
class LaunchRequest(CellRequest):
    """What a child process is told that times a cell again (``conformance.remeasure``)."""

    blocks: int = 16
    """Turns of each session."""
    programs: tuple[tuple[str, str], ...] = ()
    """Programs to be compared with each other, names and paths; none: eager PyTorch with the cell's own program."""


class Trail:
    """The stages of a cell as they begin and end, on disk, so that the parent knows where a dead child was."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "stages.jsonl"
        self.stages: list[StageRecord] = []
        self.current = "resolve"

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self.current = stage
        self._write({"begin": stage})

    def end(self, stage: StageRecord) -> None:
        """A stage has ended well."""
        self.stages.append(stage)
        self._write({"end": stage.model_dump()})

    def note(self, name: str, ended: StageTime | None) -> None:
        """A stage of the exporter begins, or has ended well."""
        if ended is None:
            self.begin(name)
        else:
            self.end(StageRecord(**ended.model_dump()))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        from exporters.pipeline import peak_memory_bytes

        self.begin(name)
        began = time.perf_counter()
        yield
        self.end(StageRecord(name=name, seconds=time.perf_counter() - began, peak_memory_bytes=peak_memory_bytes()))

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            if cache.is_full(error):
                raise ResourceError(f"no space is left for the run's directory {self.path.parent}. {MOVE}") from error
            raise

    @classmethod
    def read(cls, directory: Path) -> Trail:
        """The trail that a child left; what is no breadcrumb is passed over."""
        trail = cls(directory)
        lines: list[str] = []
        with contextlib.suppress(OSError), trail.path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(MOST_BYTES).splitlines()
        for line in lines:
            try:
                entry = json.loads(line)
                if "begin" in entry:
                    trail.current = str(entry["begin"])[:100]
                else:
                    trail.stages.append(StageRecord.model_validate(entry["end"]))
            except (ValueError, TypeError, KeyError, RecursionError):  # the child died while it wrote, or wrote something else
                continue
        return trail


def blank_record(model: Model, request: CellRequest, **fields: Any) -> Record:
    """A record with everything that is known before anything is run."""
    return Record(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        model=model.name,
        family=model.family,
        task=model.task,
        scale=request.scale,
        hub_id=model.hub_id,
        revision=model.revision,
        configuration=request.configuration,
        versions={**cache.stack_versions(), "python": platform.python_version()},
        host={
            "machine": platform.machine(),
            "processor": processor(),
            "cpus": os.cpu_count(),
            "threads": request.threads,
        },
        **fields,
    )


@functools.cache
def processor() -> str:
    """The processor's name: times are compared on the same one only."""
    with contextlib.suppress(OSError):  # Linux says more than the standard library passes on
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
