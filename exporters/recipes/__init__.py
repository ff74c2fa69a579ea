"""How exported programs are lowered: one file a recipe, each with a function ``partitioners(config)``."""

from __future__ import annotations

from typing import Any

from exporters.config import ExportConfig


def partitioners(config: ExportConfig) -> list[Any]:
    """The ExecuTorch partitioners of the configuration's recipe, in the order they are applied."""
    from exporters.recipes import portable, xnnpack

    recipes = {"portable": portable, "xnnpack": xnnpack}
    return recipes[config.recipe].partitioners(config)
