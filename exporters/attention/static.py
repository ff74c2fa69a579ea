"""A cache of plain tensor operations, as long as the sequence may get."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.attention.layer import Layout


class StaticCacheLayer(nn.Module):
    """Holds every position; a sliding-window layer relies on its mask.

    Args:
        heads: Number of key-value heads.
        key_dim: Width of a key.
        value_dim: Width of a value.
        max_seq_len: Positions held.
        layout: What ``update`` returns.
        sliding: Whether the layer attends within a window.
    """

    kind = "static"

    def __init__(self, heads: int, key_dim: int, value_dim: int, max_seq_len: int, layout: Layout, *, sliding: bool) -> None:
        super().__init__()
        self.capacity = max_seq_len
        self.sliding = sliding
        self.key_dim = key_dim
        self.layout = layout
        self.keys: Tensor
        self.values: Tensor
        self.register_buffer("keys", torch.zeros(1, heads, max_seq_len, key_dim))
        self.register_buffer("values", torch.zeros(1, heads, max_seq_len, value_dim))

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        return self.capacity, 0

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        self.keys.index_copy_(2, positions, keys)
        self.values.index_copy_(2, positions, values)
        if self.layout is Layout.LENGTH_FIRST:
            return self.keys.transpose(1, 2), self.values.transpose(1, 2)
        return self.keys, self.values
