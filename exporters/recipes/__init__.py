"""How exported programs are lowered: one file a recipe, each with ``PASSES`` and ``partitioners(config)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exporters.config import ExportConfig


def _recipe(config: ExportConfig) -> Any:
    from exporters.recipes import portable, xnnpack

    return {"portable": portable, "xnnpack": xnnpack}[config.recipe]


def passes(config: ExportConfig) -> tuple[Callable[[Any], int], ...]:
    """The graph passes that the recipe needs before lowering, in order."""
    found: tuple[Callable[[Any], int], ...] = _recipe(config).PASSES
    return found


def partitioners(config: ExportConfig) -> list[Any]:
    """The ExecuTorch partitioners of the recipe, in the order they are applied."""
    found: list[Any] = _recipe(config).partitioners(config)
    return found
