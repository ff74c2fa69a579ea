"""A cache for layers that attend to the last positions only: a ring of the window, whatever the sequence's length.

A query at position p sees the keys at p - window + 1 … p. A call with n tokens therefore needs the window - 1 keys before
its first token and its own n keys: the ring is read before it is overwritten, and both are attended to side by side. That
way one call may bring any number of tokens, more than the window, too.

With an attention sink (arXiv:2309.17453) the first positions of the sequence have slots of their own before the ring, and every
query sees them, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.attention.layer import Shape, bits
from exporters.attention.storage import Storage

NEVER = -(2**30)
"""The position of a slot that holds nothing: far outside any window, so the sliding-window mask hides it."""


class RingCacheLayer(nn.Module):
    """Holds the first ``sinks`` positions and the last ``window - 1``.

    Position p lies in slot p if it is a sink, and otherwise in one of the window - 1 slots after them, in turn. One more slot
    takes what a long call brings but nobody will read again, so that no two tokens of a call are written to a live slot.

    Args:
        shape: Of the layer's keys and values.
        window: The sliding window, in tokens.
        sinks: The first positions that are kept.
        local: Whether the window is the configuration's and not the model's, whose masks know nothing of it.
        quantized: Store keys and values in 8 bits.
    """

    def __init__(self, shape: Shape, *, window: int, sinks: int = 0, local: bool = False, quantized: bool = False) -> None:
        super().__init__()
        self.kind = "sink" if sinks else "ring"
        self.sliding = not sinks
        self.sinks = sinks
        self.window = window
        self.local = local
        self.length = max(min(window, shape.max_seq_len) - 1, 1)
        self.capacity = sinks + self.length
        self.heads = shape.heads
        self.key_dim = shape.key_dim
        self.bits = bits(shape, quantized=quantized)
        self.shape = shape
        self.keys = shape.storage(self.capacity + 1, shape.key_dim, quantized=quantized)
        self.values = shape.storage(self.capacity + 1, shape.value_dim, quantized=quantized)

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        slots = torch.arange(self.length, device=positions.device)
        newest = positions[:1] - 1 - self.sinks
        # The newest position before this call that lies in each slot of the ring. The dividend is kept non-negative: remainder
        # of a negative integer follows C in executorch 1.4.1's portable kernel and Python in PyTorch (docs/upstream.md).
        held = newest - torch.remainder(newest - slots + (1 + self.sinks) * self.length, self.length)
        held = torch.where(held >= 0, held + self.sinks, NEVER)
        if self.sinks:
            first = torch.arange(self.sinks, device=positions.device)
            held = torch.cat([torch.where(first < positions[:1], first, NEVER), held])
        spare = torch.full_like(positions[:1], NEVER)
        at = torch.cat([held, spare, positions])
        count = self.capacity + 1 + positions.shape[0]
        return count, at - torch.arange(count, device=positions.device)

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        keys, values = keys.transpose(1, 2), values.transpose(1, 2)
        # The call's own keys are attended to as they will be read later, so that it does not matter how a sequence is fed.
        seen = self._beside(self.keys, keys), self._beside(self.values, values)
        lasting = positions > positions[-1] - self.length
        turn = torch.remainder(positions + self.sinks * (self.length - 1), self.length)  # never of a negative number, as above
        slots = torch.where(lasting, self.sinks + turn, self.capacity)
        if self.sinks:
            slots = torch.where(positions < self.sinks, positions, slots)
        slots = slots.unsqueeze(0)
        self.keys.write(keys, None, slots)
        self.values.write(values, None, slots)
        return self.shape.arranged(*seen)

    def _beside(self, storage: Storage, new: Tensor) -> Tensor:
        """What is stored and what is new, one after the other."""
        return torch.cat([storage.read(), storage.rounded(new)], dim=1)
