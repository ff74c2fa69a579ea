"""Builds the cache layers of a model, and shows them to transformers as a ``Cache``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer

from exporters.attention import local
from exporters.attention.custom import CustomCacheLayer
from exporters.attention.layer import Layout, Shape
from exporters.attention.ring import RingCacheLayer
from exporters.attention.state import StateLayer
from exporters.attention.static import StaticCacheLayer
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError


class ExplicitPositionCache(Cache):  # type: ignore[misc]
    """A view of cache layers for one forward pass, driven by explicit positions.

    transformers' own caches count what they have seen; in an exported program that count would be state nobody can reset.
    The view lives as long as the call, so that the buffers keep a single owner, the wrapper (otherwise lowering fails with
    "expected compiled_fn to be GraphModule": executorch 1.4.1).
    """

    def __init__(
        self, layers: Iterable[Any], positions: Tensor, start: int | None, *, one_token: bool, counts: bool = False
    ) -> None:
        # Deliberately without super().__init__(): its state (offloading, lazily made layers) does not exist here.
        self.layers = list(layers)
        self.positions = positions
        self.start = start
        self.one_token = one_token
        self.count = start if counts else None
        self._seen: dict[int, Tensor] = {}
        for layer in self.layers:
            if isinstance(layer, StateLayer):
                layer.begin(positions)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        updated: tuple[Tensor, Tensor] = self.layers[layer_idx].update(key_states, value_states, self.positions, self.start)
        layer = self.layers[layer_idx]
        if isinstance(layer, RingCacheLayer) and layer.local:
            local.note(updated[0], self._allowed(layer))
        return updated

    def _allowed(self, layer: RingCacheLayer) -> Tensor:
        """What the queries may see of a ring in a layer that the model gives no mask for: [n, m], by the window."""
        if layer.window not in self._seen:
            count, offset = layer.key_positions(self.positions)
            keys, queries = torch.arange(count, device=self.positions.device) + offset, self.positions[:, None]
            self._seen[layer.window] = (keys >= 0) & (keys <= queries) & (keys > queries - layer.window)
        return self._seen[layer.window]

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        return self.positions[0] if self.count is None else self.count

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        return self.positions[0]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> Any:
        return self.layers[layer_idx].key_positions(self.positions)

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        # A model given a state takes its path for a single token; any other number comes through update_conv_state.
        state: Tensor | None = self.layers[layer_idx].convolution if self.one_token else None
        return state

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        state: Tensor | None = self.layers[layer_idx].recurrence if self.one_token else None
        return state

    def update_conv_state(self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, **_: Any) -> Tensor:
        extended: Tensor = self.layers[layer_idx].extend(conv_states)
        return extended

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **_: Any) -> Tensor:
        updated: Tensor = self.layers[layer_idx].recurrence.copy_(recurrent_states)
        return updated

    def has_previous_state(self, layer_idx: int | None = None, state_idx: int | None = None) -> bool:
        return self.one_token

    @property
    def is_sliding(self) -> list[bool]:
        return [layer.sliding for layer in self.layers]

    @property
    def is_linear(self) -> list[bool]:
        return [isinstance(layer, StateLayer) for layer in self.layers]

    @property
    def is_dummy(self) -> list[bool]:
        return [False] * len(self.layers)

    @property
    def is_compileable(self) -> bool:
        return True


def first_position(cache_position: Tensor, max_seq_len: int) -> int:
    """The first position of a call as a number, for operators that take one, bounded for torch.export."""
    check: Any = torch._check
    start = cast(int, cache_position[0].item())
    check(start >= 0)
    check(start < max_seq_len)
    check(start + cache_position.shape[0] <= max_seq_len)
    return start


def build_layers(model: PreTrainedModel, max_seq_len: int, config: ExportConfig) -> nn.ModuleList:
    """One cache layer for each layer of ``model``, with the shapes its attention really produces.

    Heads and widths are read off a two-token forward pass, not computed from the configuration, where hidden size /
    heads is often not the head size.

    Raises:
        ExportError: the model keeps a kind of state that there is no cache for.
        NotApplicableError: the model has nothing that the configuration's cache is for.
    """
    probe = DynamicCache(config=model.config)
    with torch.no_grad():
        model(torch.zeros(1, 2, dtype=torch.long), use_cache=True, **{cache_argument(model): probe})
    if not probe.layers:
        raise ExportError(f"{type(model).__name__} keeps no cache, so it cannot be exported to generate token by token.")
    attends = any(isinstance(layer, DynamicLayer) for layer in probe.layers)
    if not attends and (config.use_custom_kv_cache or config.use_custom_sdpa):
        raise NotApplicableError(f"{type(model).__name__} does not attend: it has no KV cache and no SDPA to replace.")
    return layers_like(model, probe, max_seq_len, config)


def layers_like(model: PreTrainedModel, probe: DynamicCache, max_seq_len: int, config: ExportConfig) -> nn.ModuleList:
    """Cache layers in the places of those that transformers filled; raises as ``build_layers`` does."""
    _check_local_windows(type(model).__name__, probe.layers, max_seq_len, config)
    return nn.ModuleList(_layer(model, index, layer, max_seq_len, config) for index, layer in enumerate(probe.layers))


def _check_local_windows(name: str, layers: Sequence[Any], max_seq_len: int, config: ExportConfig) -> None:
    """Refuse windows that could not be had, or would not be noticed; raises as ``build_layers`` does."""
    windows = config.local_windows
    if windows is None:
        return
    if any(getattr(layer, "is_sliding", False) for layer in layers):
        raise NotApplicableError(f"local_global_attention: layers of {name} have sliding windows of their own; leave it out.")
    if len(windows) > len(layers):
        raise NotApplicableError(
            f"local_global_attention names {len(windows)} windows, and {name} has {len(layers)} layers; give at most as many."
        )
    for index, layer in enumerate(layers):
        if windows[index % len(windows)] and not isinstance(layer, DynamicLayer):
            raise NotApplicableError(
                f"local_global_attention: layer {index} of {name} does not attend; give it 0, with a window for each layer."
            )
    if max(windows) >= max_seq_len:
        raise ExportError(
            f"local_global_attention: a window of {max(windows)} tokens forgets nothing of the {max_seq_len} positions "
            "(max_seq_len); give a smaller one, or 0."
        )


def _layer(model: PreTrainedModel, index: int, seen: Any, max_seq_len: int, config: ExportConfig) -> nn.Module:
    """The cache layer in the place of ``seen``, the one that transformers filled with two tokens."""
    name = type(model).__name__
    if type(seen) is LinearAttentionLayer:
        if seen.number_of_states != 1:
            raise ExportError(f"layer {index} of {name} keeps {seen.number_of_states} states; there are caches for one only.")
        if seen.recurrent_states[0] is not None and config.dynamic_shapes:
            raise NotApplicableError(
                f"layer {index} of {name} is a recurrence whose pass over several tokens starts from nothing, so that a "
                "sequence could not be fed in parts; export it for one token a call, with dynamic_shapes=False."
            )
        return StateLayer(seen.conv_states[0], seen.recurrent_states[0])
    if type(seen) not in (DynamicLayer, DynamicSlidingWindowLayer):
        raise ExportError(
            f"layer {index} of {name} keeps a {type(seen).__name__}; there are caches for full and sliding-window attention, "
            "short convolutions and recurrences only."
        )
    shape = Shape(
        heads=seen.keys.shape[1],
        key_dim=seen.keys.shape[3],
        value_dim=seen.values.shape[3],
        max_seq_len=max_seq_len,
        layout=Layout.LENGTH_FIRST if config.use_custom_sdpa else Layout.HEADS_FIRST,
        dtype=seen.keys.dtype,
    )
    sliding = bool(seen.is_sliding)
    quantized = config.quantize_kv_cache
    if not config.use_custom_kv_cache:
        return StaticCacheLayer(shape, sliding=sliding)
    # A window that is never left needs no ring: it would only add work. The mask still comes as a sliding one.
    if sliding and seen.sliding_window <= max_seq_len:
        return RingCacheLayer(shape, window=seen.sliding_window, quantized=quantized)
    window = config.local_windows[index % len(config.local_windows)] if config.local_windows else 0
    if window:
        return RingCacheLayer(shape, window=window, local=True, quantized=quantized)
    if config.attention_sink is not None and not sliding:
        sinks, window = config.attention_sink
        return RingCacheLayer(shape, window=window, sinks=sinks, quantized=quantized)
    return CustomCacheLayer(shape, sliding=sliding, quantized=quantized)


def cache_argument(model: PreTrainedModel) -> str:
    """What the model calls its cache: ``past_key_values``, or ``cache_params`` in state-space models."""
    return "cache_params" if "cache_params" in inspect.signature(model.forward).parameters else "past_key_values"
