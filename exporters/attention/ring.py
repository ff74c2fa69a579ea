"""A cache for sliding-window layers: a ring of the window, whatever the sequence's length.

A query at position p sees the keys at p - window + 1 … p. A call with n tokens therefore needs the window - 1 keys before
its first token and its own n keys: the ring is read before it is overwritten, and both are attended to side by side. That
way one call may bring any number of tokens, more than the window, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.attention.layer import Layout

NEVER = -(2**30)
"""The position of a slot that holds nothing: far outside any window, so the sliding-window mask hides it."""


class RingCacheLayer(nn.Module):
    """Holds the last ``window - 1`` positions.

    Position p lies in slot p mod (window - 1). One more slot takes what a long call brings but nobody will read again, so
    that no two tokens of a call are written to a live slot.

    Args: as for ``StaticCacheLayer``, and
        window: The sliding window, in tokens.
    """

    kind = "ring"
    sliding = True

    def __init__(self, heads: int, key_dim: int, value_dim: int, max_seq_len: int, layout: Layout, *, window: int) -> None:
        super().__init__()
        self.capacity = max(min(window, max_seq_len) - 1, 1)
        self.key_dim = key_dim
        self.layout = layout
        self.keys: Tensor
        self.values: Tensor
        self.register_buffer("keys", torch.zeros(1, self.capacity + 1, heads, key_dim))
        self.register_buffer("values", torch.zeros(1, self.capacity + 1, heads, value_dim))

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        slots = torch.arange(self.capacity, device=positions.device)
        newest = positions[:1] - 1
        # The newest position before this call that lies in each slot. The dividend is kept non-negative: remainder of a
        # negative integer follows C in executorch 1.4.1's portable kernel and Python in PyTorch (docs/upstream.md).
        held = newest - torch.remainder(newest - slots + self.capacity, self.capacity)
        held = torch.where(held >= 0, held, NEVER)
        spare = torch.full_like(positions[:1], NEVER)
        at = torch.cat([held, spare, positions])
        count = self.capacity + 1 + positions.shape[0]
        return count, at - torch.arange(count, device=positions.device)

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        keys, values = keys.transpose(1, 2), values.transpose(1, 2)
        seen_keys = torch.cat([self.keys, keys], dim=1)
        seen_values = torch.cat([self.values, values], dim=1)
        lasting = positions > positions[-1] - self.capacity
        slots = torch.where(lasting, torch.remainder(positions, self.capacity), self.capacity).unsqueeze(0)
        torch.ops.llama.update_cache_with_indices(keys, self.keys, 0, slots)
        torch.ops.llama.update_cache_with_indices(values, self.values, 0, slots)
        if self.layout is Layout.HEADS_FIRST:
            return seen_keys.transpose(1, 2), seen_values.transpose(1, 2)
        return seen_keys, seen_values
