"""Builds the cache layers of a model, and shows them to transformers as a ``Cache``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from exporters.attention.custom import CustomCacheLayer
from exporters.attention.layer import Layout
from exporters.attention.ring import RingCacheLayer
from exporters.attention.static import StaticCacheLayer
from exporters.errors import ExportError


class ExplicitPositionCache(Cache):  # type: ignore[misc]
    """A view of cache layers for one forward pass, driven by explicit positions.

    transformers' own caches count what they have seen; in an exported program that count would be state nobody can reset.
    The view lives as long as the call, so that the buffers keep a single owner, the wrapper (otherwise lowering fails with
    "expected compiled_fn to be GraphModule": executorch 1.4.1).
    """

    def __init__(self, layers: Iterable[Any], positions: Tensor, start: int | None) -> None:
        # Deliberately without super().__init__(): its state (offloading, lazily made layers) does not exist here.
        self.layers = list(layers)
        self.positions = positions
        self.start = start

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        updated: tuple[Tensor, Tensor] = self.layers[layer_idx].update(key_states, value_states, self.positions, self.start)
        return updated

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        return self.positions[0]

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        return self.positions[0]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> Any:
        return self.layers[layer_idx].key_positions(self.positions)

    @property
    def is_sliding(self) -> list[bool]:
        return [layer.sliding for layer in self.layers]

    @property
    def is_linear(self) -> list[bool]:
        return [False] * len(self.layers)

    @property
    def is_dummy(self) -> list[bool]:
        return [False] * len(self.layers)

    @property
    def is_compileable(self) -> bool:
        return True


def build_layers(model: PreTrainedModel, max_seq_len: int, layout: Layout, *, custom: bool) -> nn.ModuleList:
    """One cache layer for each layer of ``model``, with the shapes its attention really produces.

    Heads and widths are read off a two-token forward pass, not computed from the configuration, where hidden size /
    heads is often not the head size.

    Raises:
        ExportError: the model keeps a kind of state that there is no cache for.
    """
    probe = DynamicCache(config=model.config)
    with torch.no_grad():
        model(torch.zeros(1, 2, dtype=torch.long), past_key_values=probe, use_cache=True)
    layers = nn.ModuleList()
    for index, layer in enumerate(probe.layers):
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise ExportError(
                f"layer {index} of {type(model).__name__} keeps a {type(layer).__name__}; there are caches for full and "
                "sliding-window attention only."
            )
        heads, key_dim, value_dim = layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3]
        if not custom:
            layers.append(StaticCacheLayer(heads, key_dim, value_dim, max_seq_len, layout, sliding=layer.is_sliding))
        elif layer.is_sliding and layer.sliding_window <= max_seq_len:
            layers.append(RingCacheLayer(heads, key_dim, value_dim, max_seq_len, layout, window=layer.sliding_window))
        elif layer.is_sliding:
            # The window is never left: a ring would only add work. The mask still comes as a sliding one.
            layers.append(CustomCacheLayer(heads, key_dim, value_dim, max_seq_len, layout, sliding=True))
        else:
            layers.append(CustomCacheLayer(heads, key_dim, value_dim, max_seq_len, layout, sliding=False))
    return layers
