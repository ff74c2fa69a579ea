"""``Seq2SeqLMExportableModule``: an encoder of text or sound, and a decoder that reads it and writes text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from exporters import metadata
from exporters.attention import encoder_decoder
from exporters.attention.cache import ExplicitPositionCache, first_position, layers_like
from exporters.attention.implementation import set_attention
from exporters.attention.layer import CacheLayer
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.wrappers import ExportableMethod, prefill_len, refuse_pt2e
from exporters.wrappers.clamping import clamped
from exporters.wrappers.source import source_of

DEFAULT_MAX_SEQ_LEN = 512


@dataclass
class _Encoded(BaseModelOutput):  # type: ignore[misc]
    """What an encoder answered. Moonshine (transformers 5.23.0) asks it for a mask, where the others are given one."""

    attention_mask: Tensor | None = None


class Encoder(nn.Module):
    """The method ``encoder``: a source in, its hidden states out.

    Args:
        encoder: The encoder of a transformers model.
        name: What it calls its source.
        masked: Whether it takes a padding mask.
    """

    def __init__(self, encoder: nn.Module, name: str, *, masked: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.name = name
        self.masked = masked

    def forward(self, source: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Hidden states of a source.

        Args:
            source: [1, n] int64 token ids; of a sound [1, samples], [1, frames, features] or [1, features, frames].
            attention_mask: Of a text [1, n] int64, 1 for a token and 0 for padding, which no token sees.

        Returns:
            [1, states, hidden]: a state for each token of a text, fewer than there are samples or frames of a sound.
        """
        inputs = {self.name: source} | ({"attention_mask": attention_mask} if self.masked else {})
        with clamped(self.encoder):
            states: Tensor = self.encoder(**inputs).last_hidden_state
        return states


class TextDecoder(nn.Module):
    """The method ``text_decoder``: tokens, their positions and an encoder's answer in, logits out; the KV cache is the module's
    own, and holds the tokens only. What the encoder said is attended to anew in every call.

    All of the model is called, so that nothing beside its decoder is lost: T5's scaled states, BART's ``final_logits_bias``,
    Whisper's and Moonshine's ``proj_out``.

    Args:
        model: An encoder-decoder model of transformers.
        cache: Its decoder's cache layers.
        max_seq_len: Positions of a sequence.
        numbered: Whether a cache layer or an operator needs the first position as a number.
    """

    def __init__(self, model: PreTrainedModel, cache: nn.ModuleList, max_seq_len: int, *, numbered: bool) -> None:
        super().__init__()
        self.model = model
        self.cache = cache
        self.max_seq_len = max_seq_len
        self.numbered = numbered

    def forward(
        self,
        tokens: Tensor,
        cache_position: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Logits of every token of a call, and the cache updated.

        Args:
            tokens: [1, m] int64 token ids.
            cache_position: [m] int64, consecutive positions of the tokens in the sequence. All positions before the first must
                have been given in earlier calls; starting at 0 begins a new sequence.
            encoder_hidden_states: [1, n, hidden], what ``encoder`` answered.
            encoder_attention_mask: Of a text [1, n] int64, 0 where the encoder read padding.

        Returns:
            [1, m, vocabulary] logits.
        """
        start = first_position(cache_position, self.max_seq_len) if self.numbered else None
        past = ExplicitPositionCache(self.cache, cache_position, start, one_token=False)
        masked: dict[str, Any] = {} if encoder_attention_mask is None else {"attention_mask": encoder_attention_mask}
        with encoder_decoder.call():
            output = self.model(
                encoder_outputs=_Encoded(last_hidden_state=encoder_hidden_states),
                decoder_input_ids=tokens,
                past_key_values=encoder_decoder.PastAndSource(past),
                use_cache=True,
                **masked,
            )
        logits: Tensor = output.logits
        return logits


class Seq2SeqLMExportableModule(nn.Module):
    """Two methods, ``encoder`` and ``text_decoder``.

    Args:
        model: An encoder-decoder model of transformers that writes text, in evaluation mode. Its attention implementation is
            set to the one the configuration asks for.
        config: The configuration; ``max_seq_len=None`` takes the decoder's context, at most 512.

    Raises:
        ExportError: the decoder's context is shorter than ``max_seq_len``, the encoder's than ``max_source_len``, or the
            checkpoint does not say with which token a text begins.
        NotApplicableError: the architecture has nothing that the configuration asks to replace.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        refuse_pt2e(model, config)
        room = decoder_context(model)
        self.max_seq_len: int = config.max_seq_len or min(room or DEFAULT_MAX_SEQ_LEN, DEFAULT_MAX_SEQ_LEN)
        if room and self.max_seq_len > room:
            raise ExportError(f"max_seq_len {self.max_seq_len} exceeds the decoder's context of {room}; use at most {room}.")
        self.max_prefill_len = prefill_len(config, self.max_seq_len)
        for option in ("use_attention_sink", "local_global_attention"):
            if getattr(config, option) is not None:
                raise NotApplicableError(f"{option}: the decoder of {type(model).__name__} ends with its text.")
        head = model.get_output_embeddings()
        if config.use_shared_embedding and (head is None or head.weight is not model.get_input_embeddings().weight):
            raise NotApplicableError(
                f"the embedding of {type(model).__name__} is not tied to its output layer; nothing is shared."
            )
        self.config = config
        self.source = source_of(model, config)
        self.prompt = decoder_prompt(model)
        self.width: int = model.config.hidden_size
        probe = DynamicCache()
        set_attention(model, "eager")
        with torch.no_grad():
            model(
                encoder_outputs=_Encoded(last_hidden_state=torch.zeros(1, 2, self.width, dtype=model.dtype)),
                decoder_input_ids=torch.zeros(1, 2, dtype=torch.long),
                past_key_values=EncoderDecoderCache(probe, DynamicCache()),
                use_cache=True,
            )
        if config.use_custom_sdpa:
            set_attention(model, encoder_decoder.NAME)
        cache = layers_like(model, probe, self.max_seq_len, config)
        self.model = model
        self.encoder = Encoder(model.get_encoder(), self.source.name, masked=self.source.masked)
        self.text_decoder = TextDecoder(model, cache, self.max_seq_len, numbered=config.use_custom_kv_cache)

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``encoder``, of a source of any length up to ``max_source_len`` where the architecture permits; and ``text_decoder``,
        with 1 to ``max_prefill_len`` tokens, or exactly 1."""
        source, dtype = self.source, self.model.dtype
        dynamic = self.config.dynamic_shapes
        inputs = source.example(dtype)
        with torch.no_grad():
            states = self.encoder(*inputs)
        count = min(3, self.max_prefill_len) if dynamic else 1
        tokens = (torch.zeros(1, count, dtype=torch.long), torch.arange(count))
        read = torch.export.Dim("source", min=source.shortest, max=source.longest) if source.dynamic else None
        written = torch.export.Dim("length", min=1, max=self.max_prefill_len)
        seen = torch.export.Dim("states", min=1, max=source.states)
        fed: Any = ({1: written}, {0: written}) if dynamic else ({}, {})
        about: Any = ({1: seen},) if source.dynamic else ({},)
        mask = (torch.ones(1, states.shape[1], dtype=torch.long),) if source.masked else ()
        return {
            "encoder": ExportableMethod(
                module=self.encoder,
                example_inputs=inputs,
                dynamic_shapes=tuple({source.axis: read} for _ in inputs) if source.dynamic else None,
                deferred=not source.masked,
            ),
            "text_decoder": ExportableMethod(
                module=self.text_decoder,
                example_inputs=(*tokens, states, *mask),
                dynamic_shapes=(*fed, *about, *(about if mask else ())) if dynamic or source.dynamic else None,
            ),
        }

    def constant_methods(self) -> Mapping[str, Any]:
        layers = self._layers
        return metadata.seq2seq_lm(
            self.model,
            self.config,
            max_seq_len=self.max_seq_len,
            max_prefill_len=self.max_prefill_len,
            layers=len(layers),
            heads=max(layer.heads for layer in layers),
            head_dim=max(layer.key_dim for layer in layers),
            prompt=self.prompt,
        ) | metadata.source(
            longest=self.source.longest,
            shortest=self.source.shortest,
            dynamic=self.source.dynamic,
            sampling_rate=self.source.sampling_rate,
            features=self.source.features,
        )

    @property
    def _layers(self) -> list[CacheLayer]:
        return [cast(CacheLayer, layer) for layer in self.text_decoder.cache]

    def cache_report(self) -> list[dict[str, Any]]:
        return [
            {"kind": layer.kind, "capacity": layer.capacity, "sliding": layer.sliding, "bits": layer.bits}
            for layer in self._layers
        ]


def decoder_context(model: PreTrainedModel) -> int | None:
    """Positions that the decoder has; ``None`` if it counts relative ones."""
    room: int | None = getattr(model.config, "max_target_positions", getattr(model.config, "max_position_embeddings", None))
    return room


def decoder_prompt(model: Any) -> list[int]:
    """The tokens that a decoder's text begins with: the one that starts it, and those that a multilingual Whisper is told its
    language and task with (English, to be transcribed without time stamps).

    Raises:
        ExportError: the checkpoint names none.
    """
    generation = getattr(model, "generation_config", None)
    start = getattr(generation, "decoder_start_token_id", None)
    start = getattr(model.config, "decoder_start_token_id", None) if start is None else start
    if start is None:
        raise ExportError(
            f"the checkpoint of {type(model).__name__} names no decoder_start_token_id; add it to its config.json."
        )
    languages, tasks = getattr(generation, "lang_to_id", None), getattr(generation, "task_to_id", None)
    told = [languages["<|en|>"], tasks["transcribe"]] if languages and tasks else []
    unstamped = getattr(generation, "no_timestamps_token_id", None)
    return [start, *told, *([unstamped] if unstamped is not None else [])]
