"""``portable``: no delegate; every operator runs in ExecuTorch's portable kernels."""

from __future__ import annotations

from typing import Any

from exporters.config import ExportConfig

PASSES = ()


def partitioners(config: ExportConfig) -> list[Any]:
    return []
