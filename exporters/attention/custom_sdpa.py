"""Attention through ExecuTorch's ``llama::custom_sdpa``, registered with transformers as an attention implementation."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from exporters.attention import local
from exporters.errors import NotApplicableError

NAME = "executorch_custom"
"""The attention implementation's name. It must not contain "sdpa": transformers 5.23.0 would then refuse every model that has
no SDPA of its own, where the reasons to refuse are those of ``_attention``."""


@dataclass(frozen=True)
class _Call:
    """What attention has to know of the call it is part of."""

    start: int
    """The position of the first query."""
    sink: tuple[int, int] | None
    """Sinks and window of full-attention layers, in tokens."""


_call: contextvars.ContextVar[_Call] = contextvars.ContextVar("call")


@contextlib.contextmanager
def call(start: int, sink: tuple[int, int] | None = None) -> Iterator[None]:
    """Tell the attention layers that are called inside where the first query stands, and what they may see.

    Args:
        start: The position of the first query.
        sink: The attention sink, ``(sinks, window)``, of full-attention layers.
    """
    token = _call.set(_Call(start, sink))
    try:
        yield
    finally:
        _call.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend.

    Args:
        query: [1, heads, n, head_dim].
        key: [1, m, key-value heads, head_dim], length first, as our cache layers return it.
        value: like ``key``.
        attention_mask: [1, 1, n, m] to be added, or ``None`` for plain causal attention over the first
            ``start + n`` keys.

    Returns:
        [1, n, heads, head_dim].

    Raises:
        NotApplicableError: the architecture has a term that the operator drops without a word (executorch 1.4.1).
    """
    for term, given in (("soft-capping", softcap), ("attention sinks", s_aux), ("a position bias", position_bias)):
        if given is not None:
            raise NotApplicableError(
                f"{type(module).__name__} uses {term}, which llama::custom_sdpa would drop; export without use_custom_sdpa."
            )
    query = query.transpose(1, 2)
    attention_mask = local.mask_of(key, attention_mask)
    if attention_mask is None:
        output = torch.ops.llama.custom_sdpa(query, key, value, _call.get().start, None, 0.0, True, scaling)
    else:
        output = torch.ops.llama.custom_sdpa(query, key, value, 0, attention_mask[0, 0], 0.0, False, scaling)
    return output, None


def _mask(*args: Any, mask_function: Any = causal_mask_function, dtype: torch.dtype = torch.float32, **kwargs: Any) -> Any:
    """No mask for plain causal attention, which the operator does by itself; otherwise one that is added."""
    if mask_function is causal_mask_function:
        sink = _call.get().sink
        if sink is None:
            return None
        mask_function = _sink_mask_function(*sink)
    allowed = sdpa_mask(*args, mask_function=mask_function, **{**kwargs, "allow_is_causal_skip": False})
    return torch.where(allowed, 0.0, float("-inf"))


def _sink_mask_function(sinks: int, window: int) -> Any:
    """Causal, and within the sinks or the window; a slot that holds nothing has a negative position."""

    def allowed(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return (key >= 0) & (key <= query) & ((key > query - window) | (key < sinks))

    return allowed


ALL_ATTENTION_FUNCTIONS.register(NAME, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _mask)
