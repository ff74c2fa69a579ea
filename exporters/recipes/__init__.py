"""How exported programs are lowered: one file a recipe, each with ``prepare(model, config)``, ``PASSES``,
``partitioners(config)`` and ``mended()``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from exporters.config import ExportConfig


def _recipe(config: ExportConfig) -> Any:
    from exporters.recipes import portable, xnnpack

    return {"portable": portable, "xnnpack": xnnpack}[config.recipe]


def prepare(model: Any, config: ExportConfig) -> None:
    """Bring a quantized model into the form that the recipe has kernels for, in place."""
    _recipe(config).prepare(model, config)


def passes(config: ExportConfig) -> tuple[Callable[[Any], int], ...]:
    """The graph passes that the recipe needs before lowering, in order."""
    found: tuple[Callable[[Any], int], ...] = _recipe(config).PASSES
    return found


def partitioners(config: ExportConfig) -> list[Any]:
    """The ExecuTorch partitioners of the recipe, in the order they are applied."""
    found: list[Any] = _recipe(config).partitioners(config)
    return found


def mended(config: ExportConfig) -> AbstractContextManager[None]:
    """A context in which lowering does what it should, where upstream does not."""
    found: AbstractContextManager[None] = _recipe(config).mended()
    return found
