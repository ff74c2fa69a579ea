"""Attention in plain tensor operations, registered with transformers as an attention implementation.

transformers' own repeats keys and values for each group of heads, and torch 2.13.0 cannot export that over a ring, whose length
grows with the call: "Not all values of length satisfy the generated guard". Here they are picked for each head by
index, which copies as much.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from exporters.attention import local
from exporters.errors import NotApplicableError

NAME = "executorch_indexed"
"""The attention implementation's name."""


def attention(
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
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend.

    Args:
        query: [1, heads, n, head_dim].
        key: [1, key-value heads, m, head_dim].
        value: like ``key``.
        attention_mask: [1, 1, n, m] to be added.
        softcap: Scores are bent to lie within this bound.

    Returns:
        [1, n, heads, head_dim].
    """
    if s_aux is not None:
        raise NotApplicableError(
            f"{type(module).__name__} uses attention sinks of its own, which there is no attention for here."
        )
    attention_mask = local.mask_of(key, attention_mask)
    heads, groups = query.shape[1], key.shape[1]
    if groups != heads:
        shared = torch.arange(groups).repeat_interleave(heads // groups)
        key, value = key.index_select(1, shared), value.index_select(1, shared)
    # Neither matmul nor a reshape, which bring the guard back.
    scores = torch.bmm(query[0], key[0].transpose(1, 2)) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask[0]
    answers = torch.bmm(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value[0])
    return answers.transpose(0, 1).unsqueeze(0), None


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
