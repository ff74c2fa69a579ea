"""transformers' own cache and masks, made to forget or to round as an exported program's cache does: the reference for those
caches.

Nothing here is shared with ``exporters.attention``: what is forgotten is masked where the exporter keeps a ring, and the 8 bits
are computed from their definition where the exporter calls ExecuTorch's operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, and_masks, eager_mask

from conformance.sessions.protocol import SessionError


def build(model: Any, *, bits: int | None) -> DynamicCache:
    """A fresh cache of ``model``.

    Args:
        bits: 8 to store keys and values in 8 bits; ``None`` keeps them as they are.
    """
    cache = DynamicCache(config=model.config)
    if bits is not None:
        for layer in cache.layers:
            if isinstance(layer, (DynamicLayer, DynamicSlidingWindowLayer)):
                _round_updates(layer)
    return cache


@contextmanager
def attention_sink(sinks: int, window: int) -> Iterator[None]:
    """While it lasts, full-attention layers of models with eager attention see their first ``sinks`` positions and the last
    ``window``, the query's own among them. Layers with a sliding window are left as they are."""

    def kept(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key < sinks) | (key > query - window)

    def mask(*, mask_function: Any, local_size: int | None = None, **kwargs: Any) -> Tensor | None:
        if local_size is None:
            mask_function = and_masks(mask_function, kept)
        seen: Tensor | None = eager_mask(mask_function=mask_function, local_size=local_size, **kwargs)
        return seen

    ALL_MASK_ATTENTION_FUNCTIONS["eager"] = mask
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["eager"]


@contextmanager
def local_attention(model: Any, windows: Sequence[int]) -> Iterator[None]:
    """While it lasts, layer ``i`` of a model with eager attention sees the last ``windows[i % len(windows)]`` positions only,
    the query's own among them; 0 leaves a layer as it is.

    Raises:
        SessionError: a layer with a window was given no mask to put it on.
    """
    hidden: set[int] = set()

    def hide(attention: Any, arguments: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        window, mask = windows[attention.layer_idx % len(windows)], given.get("attention_mask")
        if not window or not isinstance(mask, Tensor):
            return None
        hidden.add(attention.layer_idx)
        fed, seen = mask.shape[-2:]
        ago = torch.arange(seen - fed, seen)[:, None] - torch.arange(seen)
        return arguments, {**given, "attention_mask": mask.masked_fill(ago >= window, torch.finfo(mask.dtype).min)}

    layers = [each for each in model.modules() if isinstance(getattr(each, "layer_idx", None), int)]
    hooks = [layer.register_forward_pre_hook(hide, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    local = {index for index in range(model.config.get_text_config().num_hidden_layers) if windows[index % len(windows)]}
    if hidden != local:
        raise SessionError(f"layers {sorted(local - hidden)} of {type(model).__name__} take no mask to put a window on.")


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
