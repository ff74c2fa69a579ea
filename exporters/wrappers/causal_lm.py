"""``CausalLMExportableModule``: decoder-only language models."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.attention import custom_sdpa
from exporters.attention.cache import ExplicitPositionCache, build_layers
from exporters.attention.layer import CacheLayer, Layout
from exporters.config import ExportConfig
from exporters.errors import ExportError
from exporters.wrappers import ExportableMethod

DEFAULT_MAX_SEQ_LEN = 2048


class CausalLMExportableModule(nn.Module):
    """Token ids (or embeddings) and their positions in, logits out; the KV cache is the module's own.

    Args:
        model: A decoder-only language model of transformers, in evaluation mode. Its attention implementation is set to
            the one the configuration asks for.
        config: The configuration; ``max_seq_len=None`` takes the model's context, at most 2048.
        embeddings: Take embeddings [1, n, hidden] instead of token ids [1, n], as the decoder of a multimodal model does.

    Raises:
        ExportError: the model's context is shorter than ``max_seq_len``, or it keeps state that there is no cache for.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig, *, embeddings: bool = False) -> None:
        super().__init__()
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.max_seq_len = config.max_seq_len or min(context or DEFAULT_MAX_SEQ_LEN, DEFAULT_MAX_SEQ_LEN)
        if context and self.max_seq_len > context:
            raise ExportError(
                f"max_seq_len {self.max_seq_len} exceeds the model's context of {context}; use at most {context}."
            )
        self.config = config
        self.embeddings = embeddings
        self.model = model
        layout = Layout.LENGTH_FIRST if config.use_custom_sdpa else Layout.HEADS_FIRST
        self.cache = build_layers(model, self.max_seq_len, layout, custom=config.use_custom_kv_cache)
        model.set_attn_implementation(custom_sdpa.NAME if config.use_custom_sdpa else "eager")

    def forward(self, tokens: Tensor, cache_position: Tensor) -> Tensor:
        """Logits of every token of a call, and the cache updated.

        Args:
            tokens: [1, n] int64 token ids, or [1, n, hidden] embeddings.
            cache_position: [n] int64, consecutive positions of the tokens in the sequence. All positions before the
                first must have been given in earlier calls; starting at 0 begins a new sequence.

        Returns:
            [1, n, vocabulary] logits.
        """
        start = None
        attention: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if self.config.use_custom_sdpa or self.config.use_custom_kv_cache:
            start = self._start(cache_position)
            attention = custom_sdpa.start_position(start)
        cache = ExplicitPositionCache(self.cache, cache_position, start)
        inputs = {"inputs_embeds" if self.embeddings else "input_ids": tokens}
        with attention:
            output = self.model(**inputs, position_ids=cache_position.unsqueeze(0), past_key_values=cache, use_cache=True)
        logits: Tensor = output.logits
        return logits

    def _start(self, cache_position: Tensor) -> int:
        """The first position as a number, bounded for torch.export."""
        check: Any = torch._check
        start = cast(int, cache_position[0].item())
        check(start >= 0)
        check(start < self.max_seq_len)
        check(start + cache_position.shape[0] <= self.max_seq_len)
        return start

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, with a sequence length from 1 to ``max_seq_len``, or of exactly 1."""
        count = min(3, self.max_seq_len) if self.config.dynamic_shapes else 1
        tokens = torch.zeros(1, count, dtype=torch.long)
        inputs = (self.model.get_input_embeddings()(tokens) if self.embeddings else tokens, torch.arange(count))
        length = torch.export.Dim("length", min=1, max=self.max_seq_len)
        shapes = ({1: length}, {0: length}) if self.config.dynamic_shapes else None
        return {"forward": ExportableMethod(module=self, example_inputs=inputs, dynamic_shapes=shapes)}

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.causal_lm(
            self.model,
            self.config,
            max_seq_len=self.max_seq_len,
            head_dim=self._layers[0].key_dim,
            ring=any(layer.kind == "ring" for layer in self._layers),
        )

    @property
    def _layers(self) -> list[CacheLayer]:
        return [cast(CacheLayer, layer) for layer in self.cache]

    def cache_report(self) -> list[dict[str, Any]]:
        return [{"kind": layer.kind, "capacity": layer.capacity, "sliding": layer.sliding} for layer in self._layers]
