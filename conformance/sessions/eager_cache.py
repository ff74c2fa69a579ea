"""transformers' own cache, made to forget or to round as an exported program's cache does: the reference for those caches.

Nothing here is shared with ``exporters.attention``: positions are dropped where the exporter keeps a ring, and the 8 bits are
computed from their definition where the exporter calls ExecuTorch's operators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


def build(model: Any, *, bits: int | None, sink: tuple[int, int] | None) -> DynamicCache:
    """A fresh cache of ``model``.

    Args:
        bits: 8 to store keys and values in 8 bits; ``None`` keeps them as they are.
        sink: Sinks and window of full-attention layers; with one, a sequence must be fed token by token.
    """
    cache = DynamicCache(config=model.config)
    if sink is not None:
        cache.layers = [_SinkLayer(*sink) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if bits is not None:
        for layer in cache.layers:
            if isinstance(layer, (DynamicLayer, DynamicSlidingWindowLayer)):
                _round_updates(layer)
    return cache


class _SinkLayer(DynamicLayer):  # type: ignore[misc]
    """Keeps the first ``sinks`` positions and the last ``window``."""

    def __init__(self, sinks: int, window: int) -> None:
        super().__init__()
        self.sinks = sinks
        self.window = window
        self.seen = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if key_states.shape[-2] != 1:
            raise ValueError("an attention sink's reference is fed token by token")
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        self.seen += 1
        if keys.shape[-2] > self.sinks + self.window:
            kept = [*range(self.sinks), *range(keys.shape[-2] - self.window, keys.shape[-2])]
            self.keys, self.values = keys[:, :, kept], values[:, :, kept]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        # Of a single query: everything that is kept lies before it.
        return min(self.seen + 1, self.sinks + self.window), 0


def _round_updates(layer: Any) -> None:
    update = layer.update

    def rounded(key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return update(round_to_8_bits(key_states), round_to_8_bits(value_states), *args, **kwargs)

    layer.update = rounded


def round_to_8_bits(values: Tensor) -> Tensor:
    """What is left of vectors after 8 bits: 256 even steps from the smallest to the largest entry, one of them zero.

    Args:
        values: [..., width]; every vector of the last dimension is rounded by itself.
    """
    exact = values.float()
    low, high = exact.amin(-1, keepdim=True).clamp_max(0), exact.amax(-1, keepdim=True).clamp_min(0)
    step = ((high - low) / 255).clamp_min(torch.finfo(torch.float32).eps)
    zero = torch.round(-128 - low / step).clamp(-128, 127)
    codes = torch.round(exact / step + zero).clamp(-128, 127)
    return ((codes - zero) * step).to(values.dtype)
