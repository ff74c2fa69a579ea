"""``xnnpack``: what XNNPACK can run is delegated to it; the rest stays with the portable kernels."""

from __future__ import annotations

from typing import Any

from exporters.config import ExportConfig
from exporters.passes import exact_tanh_gelu

PASSES = (exact_tanh_gelu,)


def partitioners(config: ExportConfig) -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )

    # Dynamically quantized linear layers are taken first, each with the computation of its activation's scale: the general
    # partitioner would otherwise cut between the two.
    return [XnnpackDynamicallyQuantizedPartitioner(), XnnpackPartitioner()] if config.qlinear else [XnnpackPartitioner()]
