"""Where the time of an export goes: stages and passes as a table and as a flame graph, Python calls as an HTML page."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.workarounds import replaced

if TYPE_CHECKING:
    from exporters.artifact import StageTime

SAMPLING_SECONDS = 0.01


@dataclass
class Span:
    """A stage, or a step inside one, from its beginning to its end."""

    name: str
    stage: str
    begin: float
    """Seconds since the recording began."""
    end: float = 0.0
    inside: list[Span] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """With everything inside."""
        return self.end - self.begin

    @property
    def own_seconds(self) -> float:
        """Without the steps inside."""
        return self.seconds - sum(span.seconds for span in self.inside)


@dataclass(frozen=True)
class Row:
    """All spans of a stage that have the same name."""

    stage: str
    step: str
    """Empty for the stage itself."""
    calls: int
    seconds: float
    """A step inside a step of the same name is counted once."""
    own_seconds: float


class Profile:
    """The spans of one export."""

    def __init__(self) -> None:
        self.stages: list[Span] = []
        self._began = time.perf_counter()
        self._open: list[Span] = []

    def on_stage(self, name: str, ended: StageTime | None) -> None:
        """Pass this to ``exporters.pipeline.export``."""
        if ended is None:
            span = Span(name, name, self._now())
            self.stages.append(span)
            self._open = [span]
        else:
            self._open[0].end = self._now()
            self._open = []

    def timed(self, function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """The function, each of whose calls becomes a span; ``name`` is called with the call's arguments."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._open:  # between stages
                return function(*args, **kwargs)
            span = Span(name(*args), self._open[0].name, self._now())
            self._open[-1].inside.append(span)
            self._open.append(span)
            try:
                return function(*args, **kwargs)
            finally:
                span.end = self._now()
                self._open.pop()

        return call

    def rows(self) -> list[Row]:
        """The stages in order, each followed by its steps, those with the most time of their own first."""
        rows = []
        for stage in self.stages:
            rows.append(Row(stage.name, "", 1, stage.seconds, stage.own_seconds))
            steps: dict[str, list[tuple[Span, bool]]] = {}
            for span, names_above in _walk(stage.inside, ()):
                steps.setdefault(span.name, []).append((span, span.name in names_above))
            found = [
                Row(
                    stage.name,
                    name,
                    len(spans),
                    sum(span.seconds for span, nested in spans if not nested),
                    sum(span.own_seconds for span, _ in spans),
                )
                for name, spans in steps.items()
            ]
            rows.extend(sorted(found, key=lambda row: -row.own_seconds))
        return rows

    def table(self) -> str:
        """The rows as text: seconds with and without what is inside."""
        lines = [f"{'stage':<10} {'step':<44} {'calls':>6} {'seconds':>9} {'own':>9}"]
        lines += [
            f"{row.stage if not row.step else '':<10} {row.step or '(all)':<44} {row.calls:>6} {row.seconds:>9.3f} "
            f"{row.own_seconds:>9.3f}"
            for row in self.rows()
        ]
        return "\n".join(lines)

    def speedscope(self) -> dict[str, Any]:
        """The spans in the evented format of speedscope (https://www.speedscope.app/file-format-schema.json)."""
        names = list(dict.fromkeys(span.name for span, _ in _walk(self.stages, ())))
        frames = {name: index for index, name in enumerate(names)}
        events: list[dict[str, Any]] = []

        def add(span: Span) -> None:
            events.append({"type": "O", "frame": frames[span.name], "at": span.begin})
            for inner in span.inside:
                add(inner)
            events.append({"type": "C", "frame": frames[span.name], "at": span.end})

        for stage in self.stages:
            add(stage)
        return {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "shared": {"frames": [{"name": name} for name in names]},
            "profiles": [
                {
                    "type": "evented",
                    "name": "export",
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": max((stage.end for stage in self.stages), default=0),
                    "events": events,
                }
            ],
        }

    def write(self, directory: Path) -> list[Path]:
        """Write ``profile.txt`` (the table) and ``profile.speedscope.json`` (the flame graph)."""
        table, graph = directory / "profile.txt", directory / "profile.speedscope.json"
        table.write_text(self.table() + "\n", encoding="utf-8")
        graph.write_text(json.dumps(self.speedscope()), encoding="utf-8")
        return [table, graph]

    def _now(self) -> float:
        return time.perf_counter() - self._began


def _walk(spans: Iterable[Span], above: tuple[str, ...]) -> Iterator[tuple[Span, tuple[str, ...]]]:
    for span in spans:
        yield span, above
        yield from _walk(span.inside, (*above, span.name))


@contextlib.contextmanager
def profiled() -> Iterator[Profile]:
    """Record the passes and steps of the exports inside this block.

    Yields:
        The profile; give its ``on_stage`` to ``exporters.pipeline.export``.
    """
    import torch
    from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend
    from executorch.exir.backend import backend_api
    from executorch.exir.backend.partitioner import Partitioner
    from executorch.exir.passes.memory_planning_pass import MemoryPlanningPass
    from executorch.exir.passes.spec_prop_pass import SpecPropPass
    from executorch.exir.program import _program
    from torch.export import ExportedProgram
    from torch.fx.passes.infra.pass_base import PassBase

    profile = Profile()

    def step(owner: Any, name: str, label: str | None = None) -> tuple[Any, str, Any]:
        """A function that becomes a span under its own name, or under that of its first argument's class."""
        wrap: Any = staticmethod if isinstance(vars(owner)[name], staticmethod) else lambda function: function
        named = (lambda *args: label) if label else (lambda self, *args: type(self).__name__)
        return owner, name, wrap(profile.timed(getattr(owner, name), named))

    with replaced(
        step(torch.export, "export", "torch.export.export"),
        step(ExportedProgram, "run_decompositions", "run_decompositions"),
        step(Partitioner, "__call__"),
        step(backend_api, "create_submodule_from_nodes", "create_submodule_from_nodes"),
        step(XnnpackBackend, "preprocess", "XnnpackBackend.preprocess"),
        step(PassBase, "__call__"),
        step(SpecPropPass, "__call__"),
        step(MemoryPlanningPass, "run"),
        step(_program, "emit_program", "emit_program"),
        step(_program, "serialize_for_executorch", "serialize_for_executorch"),
    ):
        yield profile


@contextlib.contextmanager
def sampled(page: Path) -> Iterator[None]:
    """Sample the Python calls inside this block and write them to an HTML page: flame graph and call tree (pyinstrument).

    Sampling makes an export take half as long again, or twice as long.

    Args:
        page: The file to write; it needs no network to be viewed.
    """
    import pyinstrument
    from pyinstrument.renderers import HTMLRenderer

    profiler = pyinstrument.Profiler(interval=SAMPLING_SECONDS, async_mode="disabled")
    profiler.start()
    try:
        yield
    finally:
        profiler.stop()
        page.write_text(profiler.output(HTMLRenderer(show_all=True)), encoding="utf-8")
