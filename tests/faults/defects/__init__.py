"""Realistic defects, put into the exporter, an artifact or a session on purpose: the suite is worth what it catches.

A defect is a small patch. A cell is run with it as any cell is, from checkpoint to record, in a child process of its own, and
only the record says whether it was caught. ``tests/faults/test_mutation.py`` runs them all.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from zoo import registry

Place = Literal["exporter", "artifact", "session", "gate"]


@dataclass(frozen=True)
class Defect:
    """Something that goes wrong."""

    name: str
    says: str
    """What is broken, in a sentence."""
    place: Place
    """``exporter``: while the cell's program is exported, anew for this cell. ``artifact``: a copy of the sound program and its
    account. ``session``: between the sound program and the checks. ``gate``: in what a run measured."""
    cell: str
    caught_by: str
    """The check that must not pass; or ``stage NAME``, where the cell must end."""
    seed: Callable[..., None]
    """Of the exporter and of a session it is called with a ``pytest.MonkeyPatch``; of an artifact with its directory; of the
    gate see ``gate``."""

    @property
    def id(self) -> str:
        """The name of its test."""
        return f"{self.place}-{self.name}@{self.cell.replace('@', '-')}"


CATALOGUE: dict[str, Defect] = {}
"""All defects, by id."""


def defect(place: Place, cell: str, *more: str, caught_by: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a function into the catalogue: its name is the defect's, its docstring says what is broken.

    Args:
        place: What the function breaks.
        cell: The cell that is run with it.
        more: Further cells, each a defect of its own.
        caught_by: The check that must not pass, or ``stage NAME``.
    """

    def register(seed: Callable[..., None]) -> Callable[..., None]:
        says = " ".join((seed.__doc__ or "").replace("``", "").split())
        assert says.endswith("."), f"{seed.__name__} does not say what is broken"
        for name in (cell, *more):
            found = Defect(seed.__name__.replace("_", " "), says, place, name, caught_by, seed)
            assert found.id not in CATALOGUE, found.id
            CATALOGUE[found.id] = found
        return seed

    return register


def load() -> dict[str, Defect]:
    """The whole catalogue."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CATALOGUE


def chosen(catalogue: dict[str, Defect], tier: str) -> dict[str, Defect]:
    """The defects that a tier runs. To export costs seconds: with ``core`` or ``smoke`` it is, of the exporter's defects, the
    first of each wrapper and check."""
    if tier not in ("core", "smoke"):
        return catalogue
    first: dict[tuple[str, str], Defect] = {}
    for found in catalogue.values():
        if found.place == "exporter":
            first.setdefault((registry.get(found.cell.partition("@")[0]).wrapper, found.caught_by), found)
    return {name: found for name, found in catalogue.items() if found.place != "exporter" or found in first.values()}


def on_model(patch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Change the transformers model that is exported, after it was quantized. Eager PyTorch's stays as it is."""
    from exporters import pipeline

    original = pipeline.load_quantized

    def changed(*arguments: Any, **options: Any) -> tuple[Any, Any]:
        model, report = original(*arguments, **options)
        change(model)
        return model, report

    patch.setattr(pipeline, "load_quantized", changed)


def on_wrapper(patch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Change the exportable module before it is traced."""
    from exporters import wrappers

    original = wrappers.wrap

    def changed(*arguments: Any) -> Any:
        module = original(*arguments)
        change(module)
        return module

    patch.setattr(wrappers, "wrap", changed)


def rewritten(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change an artifact's account; its checksum is made to fit the program, as it is then."""
    import json

    from exporters.artifact import ACCOUNT, sha256

    path = directory / ACCOUNT
    account = json.loads(path.read_text(encoding="utf-8"))
    change(account)
    program = directory / account["file"]["name"]
    account["file"] |= {"bytes": program.stat().st_size, "sha256": sha256(program)}
    path.write_text(json.dumps(account), encoding="utf-8")
