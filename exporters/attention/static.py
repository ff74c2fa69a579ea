"""A cache of plain tensor operations, as long as the sequence may get."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.attention.layer import Layout, Shape, bits


class StaticCacheLayer(nn.Module):
    """Holds every position; a sliding-window layer relies on its mask.

    Args:
        shape: Of the layer's keys and values.
        sliding: Whether the layer attends within a window.
    """

    kind = "static"

    def __init__(self, shape: Shape, *, sliding: bool) -> None:
        super().__init__()
        self.capacity = shape.max_seq_len
        self.sliding = sliding
        self.heads = shape.heads
        self.key_dim = shape.key_dim
        self.bits = bits(shape, quantized=False)
        self.layout = shape.layout
        self.keys: Tensor
        self.values: Tensor
        self.register_buffer("keys", torch.zeros(1, shape.heads, self.capacity, shape.key_dim, dtype=shape.dtype))
        self.register_buffer("values", torch.zeros(1, shape.heads, self.capacity, shape.value_dim, dtype=shape.dtype))

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        return self.capacity, 0

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        self.keys.index_copy_(2, positions, keys)
        self.values.index_copy_(2, positions, values)
        if self.layout is Layout.LENGTH_FIRST:
            return self.keys.transpose(1, 2), self.values.transpose(1, 2)
        return self.keys, self.values
