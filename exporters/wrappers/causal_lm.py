"""``CausalLMExportableModule``: decoder-only language models."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.attention import custom_sdpa, indexed, local
from exporters.attention.cache import ExplicitPositionCache, build_layers, cache_argument, first_position
from exporters.attention.implementation import set_attention
from exporters.attention.layer import CacheLayer
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.wrappers import ExportableMethod, prefill_len

DEFAULT_MAX_SEQ_LEN = 2048


class CausalLMExportableModule(nn.Module):
    """Token ids (or embeddings) and their positions in, logits out; the KV cache is the module's own.

    Args:
        model: A decoder-only language model of transformers, with or without its output layer, in evaluation mode. Its
            attention implementation is set to the one the configuration asks for.
        config: The configuration; ``max_seq_len=None`` takes the model's context, at most 2048.
        embeddings: Take embeddings [1, n, hidden] instead of token ids [1, n], as the decoder of a multimodal model does.

    Raises:
        ExportError: the model's context is shorter than ``max_seq_len``, or it keeps state that there is no cache for.
        NotApplicableError: the architecture has nothing that the configuration asks to replace.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig, *, embeddings: bool = False) -> None:
        super().__init__()
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        context = context if context is None or context > 0 else None  # -1 stands for none
        self.max_seq_len = config.max_seq_len or min(context or DEFAULT_MAX_SEQ_LEN, DEFAULT_MAX_SEQ_LEN)
        if context and self.max_seq_len > context:
            raise ExportError(
                f"max_seq_len {self.max_seq_len} exceeds the model's context of {context}; use at most {context}."
            )
        self.max_prefill_len = prefill_len(config, self.max_seq_len)
        self.config = config
        self.embeddings = embeddings
        head = model.get_output_embeddings()
        if config.use_shared_embedding and (head is None or head.weight is not model.get_input_embeddings().weight):
            raise NotApplicableError(
                f"the embedding of {type(model).__name__} is not tied to its output layer; nothing is shared."
            )
        self.model = model
        self.cache = build_layers(model, self.max_seq_len, config)
        sinks = any(layer.kind == "sink" for layer in self._layers)
        if config.use_attention_sink is not None and not sinks:
            raise NotApplicableError(f"every attention layer of {type(model).__name__} has a window; there is none for a sink.")
        self._set_attention()
        # A head passes on what it does not name, and a decoder that does not name it either would ignore it.
        self._takes_positions = any(
            "position_ids" in inspect.signature(each.forward).parameters for each in (model, model.base_model)
        )
        self._cache_argument = cache_argument(model)
        # Falcon builds its ALiBi from an attention mask, which has to be as long as the cache; its default is as long as what
        # was fed (transformers 5.23.0).
        self._masked = bool(getattr(model.config, "alibi", False))

    def _set_attention(self) -> None:
        # Beside a decoder of embeddings there are encoders, with other attention.
        decoder = self.model.get_decoder() if self.embeddings else self.model
        if not self.config.use_custom_sdpa:
            if self.config.local_windows is not None and not decoder._supports_attention_backend:
                raise NotApplicableError(
                    f"local_global_attention: {type(self.model).__name__} writes its attention out instead of asking for an "
                    "implementation, so its layers cannot be given windows; export without it."
                )
            rings = any(layer.kind == "ring" for layer in self._layers)
            set_attention(decoder, indexed.NAME if rings else "eager")
            return
        if not decoder._supports_attention_backend:
            raise NotApplicableError(
                f"{type(self.model).__name__} writes its attention out instead of asking for an implementation, so custom SDPA "
                "cannot take its place; export without use_custom_sdpa."
            )
        set_attention(decoder, custom_sdpa.NAME)

    def forward(self, tokens: Tensor, cache_position: Tensor) -> Tensor:
        """Logits of every token of a call, and the cache updated.

        Args:
            tokens: [1, n] int64 token ids, or [1, n, hidden] embeddings.
            cache_position: [n] int64, consecutive positions of the tokens in the sequence. All positions before the
                first must have been given in earlier calls; starting at 0 begins a new sequence.

        Returns:
            [1, n, vocabulary] logits, or [1, n, hidden] states of a model without an output layer.
        """
        return self._answer(tokens, cache_position)

    def _answer(self, tokens: Tensor, cache_position: Tensor, **further: Any) -> Tensor:
        """As ``forward``, with ``further`` arguments of the model."""
        start = None
        attention = contextlib.ExitStack()
        if self.config.use_custom_sdpa or self.config.use_custom_kv_cache or not self._takes_positions:
            start = first_position(cache_position, self.max_seq_len)
            attention.enter_context(custom_sdpa.call(start, self.config.attention_sink))
        if self.config.local_windows is not None:
            attention.enter_context(local.call())
        cache = ExplicitPositionCache(
            self.cache,
            cache_position,
            start,
            one_token=not self.config.dynamic_shapes,
            counts=not self._takes_positions,
        )
        inputs = {"inputs_embeds" if self.embeddings else "input_ids": tokens, self._cache_argument: cache}
        if self._takes_positions:
            inputs["position_ids"] = cache_position.unsqueeze(0)
        if self._masked:
            inputs["attention_mask"] = torch.ones(1, self.max_seq_len, dtype=torch.long)
        with attention:
            output = self.model(**{**inputs, **further}, use_cache=True)
        answers: Tensor = output.logits if "logits" in output else output.last_hidden_state
        return answers

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, with a sequence length from 1 to ``max_prefill_len``, or of exactly 1."""
        count = min(3, self.max_prefill_len) if self.config.dynamic_shapes else 1
        tokens = torch.zeros(1, count, dtype=torch.long)
        inputs = (self.model.get_input_embeddings()(tokens) if self.embeddings else tokens, torch.arange(count))
        length = torch.export.Dim("length", min=1, max=self.max_prefill_len)
        shapes = ({1: length}, {0: length}) if self.config.dynamic_shapes else None
        return {"forward": ExportableMethod(module=self, example_inputs=inputs, dynamic_shapes=shapes)}

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.causal_lm(
            self.model,
            self.config,
            max_seq_len=self.max_seq_len,
            max_prefill_len=self.max_prefill_len,
            heads=max(layer.heads for layer in self._layers),
            head_dim=max(layer.key_dim for layer in self._layers),
            rewinds=all(layer.kind in ("static", "custom") for layer in self._layers),
        )

    @property
    def _layers(self) -> list[CacheLayer]:
        return [cast(CacheLayer, layer) for layer in self.cache]

    def cache_report(self) -> list[dict[str, Any]]:
        return [
            {"kind": layer.kind, "capacity": layer.capacity, "sliding": layer.sliding, "bits": layer.bits}
            for layer in self._layers
        ]
