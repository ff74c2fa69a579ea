"""The attention of a decoder that reads an encoder: its own past from our cache layers, and what the encoder said, anew in
every call."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, EncoderDecoderCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from exporters.attention import indexed
from exporters.attention.cache import ExplicitPositionCache
from exporters.errors import NotApplicableError

NAME = "executorch_decoder"
"""The attention implementation's name; as to its spelling see ``exporters.attention.custom_sdpa``."""

_cached: contextvars.ContextVar[list[Tensor]] = contextvars.ContextVar("cached")


class PastAndSource(EncoderDecoderCache):  # type: ignore[misc]
    """A view of a decoder's cache layers for one forward pass. Keys and values of the encoder's answer are not kept: each call
    computes them from the encoder's answer that it is given, as long as that is, so that none can be left over from another.

    Args:
        past: The decoder's own keys and values.
    """

    def __init__(self, past: ExplicitPositionCache) -> None:
        # Deliberately without super().__init__(), which looks whether the caches are filled.
        self.self_attention_cache = _Noted(past)
        self.cross_attention_cache = _Forgetful()
        self.is_updated: dict[int, bool] = {}

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        return self.self_attention_cache.get_query_offset(layer_idx)


class _Noted(ExplicitPositionCache):
    """A cache that notes which keys came from it."""

    def __init__(self, past: ExplicitPositionCache) -> None:
        self.__dict__.update(past.__dict__)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = super().update(key_states, value_states, layer_idx)
        _cached.get([]).append(keys)
        return keys, values


class _Forgetful(Cache):  # type: ignore[misc]
    """A cache that hands back what it is given."""

    def __init__(self) -> None:
        self.layers: list[Any] = []

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return key_states, value_states


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Tell attention layers that are called inside which keys come from the cache."""
    token = _cached.set([])
    try:
        yield
    finally:
        _cached.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attend: through ``llama::custom_sdpa`` to keys of the cache, in plain tensor operations to those of an encoder.

    Args:
        query: [1, heads, n, head_dim].
        key: [1, m, heads, head_dim] of the cache, or [1, heads, m, head_dim].
        value: like ``key``.
        attention_mask: [1, 1, n, m] to be added.

    Returns:
        [1, n, heads, head_dim].

    Raises:
        NotApplicableError: the architecture adds a bias to its scores.
    """
    if position_bias is not None:
        raise NotApplicableError(
            f"{type(module).__name__} uses a position bias, which llama::custom_sdpa would drop; export without "
            "use_custom_sdpa."
        )
    if not any(key is each for each in _cached.get([])):
        return indexed.attention(module, query, key, value, attention_mask, scaling=scaling, **rest)
    assert attention_mask is not None
    mask = attention_mask[0, 0].float()
    return torch.ops.llama.custom_sdpa(query.transpose(1, 2), key, value, 0, mask, 0.0, False, scaling), None


ALL_ATTENTION_FUNCTIONS.register(NAME, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
