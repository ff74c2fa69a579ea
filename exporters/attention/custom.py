"""A cache that the runtime updates in place with ``llama::update_cache``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.attention.layer import Layout


class CustomCacheLayer(nn.Module):
    """Holds every position, length first, as the operator wants it.

    Args: as for ``StaticCacheLayer``.
    """

    kind = "custom"

    def __init__(self, heads: int, key_dim: int, value_dim: int, max_seq_len: int, layout: Layout, *, sliding: bool) -> None:
        super().__init__()
        self.capacity = max_seq_len
        self.sliding = sliding
        self.key_dim = key_dim
        self.layout = layout
        self.keys: Tensor
        self.values: Tensor
        self.register_buffer("keys", torch.zeros(1, max_seq_len, heads, key_dim))
        self.register_buffer("values", torch.zeros(1, max_seq_len, heads, value_dim))

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        return self.capacity, 0

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        torch.ops.llama.update_cache(keys.transpose(1, 2), self.keys, start)
        torch.ops.llama.update_cache(values.transpose(1, 2), self.values, start)
        if self.layout is Layout.HEADS_FIRST:
            return self.keys.transpose(1, 2), self.values.transpose(1, 2)
        return self.keys, self.values
