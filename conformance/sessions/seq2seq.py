"""Encoders and decoders behind the protocol of conditioned sessions: transformers' own, and the ExecuTorch runtime's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from conformance.sessions.eager_cache import round_to_8_bits
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import SessionError, check_call
from exporters.artifact import ProgramFile
from exporters.config import ExportConfig

MASK = "attention_mask"


class EagerSeq2Seq:
    """The reference: a transformers model and its own caches, of what was written and of what was read.

    Args:
        model: An encoder-decoder model in evaluation mode, with ``attn_implementation="eager"``.
        max_seq_len: Positions a sequence may have, to be comparable with an exported program.
        cache_bits: 8 to store the decoder's own keys and values in 8 bits; ``None`` keeps them as they are.
    """

    def __init__(self, model: Any, max_seq_len: int, *, cache_bits: int | None = None) -> None:
        self.model = model
        self.max_seq_len = max_seq_len
        self._cache_bits = cache_bits
        self._fed: list[int] = []
        self._cache: Any = None
        self._source: dict[str, Tensor] = {}
        self._encoded: Any = None

    @torch.inference_mode()
    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        self.reset()
        self._source = {
            name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in inputs.items()
        }
        self._encoded = self.model.get_encoder()(**self._source)

    def reset(self) -> None:
        self._fed = []
        self._cache = None

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=len(self._fed), max_seq_len=self.max_seq_len)
        if self._encoded is None:
            raise SessionError("the decoder has nothing to read: condition the session first.")
        if position < len(self._fed):
            kept = self._fed[:position]
            self.reset()
            if kept:
                self._call(torch.tensor([kept]))
        return self._call(tokens)

    @torch.inference_mode()
    def _call(self, tokens: Tensor) -> Tensor:
        if self._cache is None:
            own = DynamicCache() if self._cache_bits is None else _RoundedCache()
            self._cache = EncoderDecoderCache(own, DynamicCache())
        masked = {MASK: self._source[MASK]} if MASK in self._source else {}
        output = self.model(
            encoder_outputs=self._encoded, decoder_input_ids=tokens, past_key_values=self._cache, use_cache=True, **masked
        )
        self._fed += tokens[0].tolist()
        logits: Tensor = output.logits[0].float()
        return logits


class _RoundedCache(DynamicCache):  # type: ignore[misc]
    """Keys and values as they come back from 8 bits."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return super().update(round_to_8_bits(key_states), round_to_8_bits(value_states), *args, **kwargs)


def eager_seq2seq(model: Any, max_seq_len: int, config: ExportConfig) -> EagerSeq2Seq:
    """Eager PyTorch with a cache that rounds what the configuration's does."""
    return EagerSeq2Seq(model, max_seq_len, cache_bits=8 if config.quantize_kv_cache else None)


class ExecuTorchSeq2Seq(ExecuTorchSession):
    """A ``.pte`` of ``Seq2SeqLMExportableModule``, as a conditioned session; the arguments are ``Program``'s.

    A text shorter than a program with static shapes is padded, and its padding masked.
    """

    entry_points = ("encoder", "text_decoder")

    def __init__(
        self, path: str | os.PathLike[str], *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> None:
        super().__init__(path, expected=expected, threads=threads, verify=verify)
        self.max_source_len = self.integer("get_max_source_len")
        self.min_source_len = self.integer("get_min_source_len", 1)
        start = self.integer("get_decoder_start_token_id")
        self.prompt = self.integers("get_decoder_prompt_ids") if "get_decoder_prompt_ids" in self.methods else (start,)
        """The tokens that a text begins with."""
        self.listens = "get_sampling_rate" in self.methods
        self._dynamic = bool(self.constant("enable_dynamic_source"))
        self._dtype = self.float_dtype()
        self._pad = self.integer("get_pad_id", 0)
        self._shape = self.input_sizes("encoder")[0]
        self._read: tuple[Tensor, ...] = ()

    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        self.reset()
        source, *masks = inputs.values()
        read = self._sound(source) if self.listens else self._text(source, masks)
        self._read = ()  # a refused source leaves none
        self._read = (self.run("encoder", *read)[0].clone(), *read[1:])

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        if not self._read:
            raise SessionError(f"the decoder of {self.path.name} has nothing to read: condition the session first.")
        return self.run("text_decoder", tokens, positions, *self._read)[0]

    def _text(self, tokens: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        mask = masks[0] if masks else torch.ones_like(tokens)
        if tokens.dim() != 2 or tokens.shape[0] != 1 or tokens.shape[1] == 0 or mask.shape != tokens.shape:
            raise SessionError(
                f"the source has the shape {tuple(tokens.shape)} and its mask {tuple(mask.shape)}; give [1, n] with at least "
                "one token for both."
            )
        if tokens.dtype is not torch.int64 or mask.dtype is not torch.int64:
            raise SessionError(f"the source is {tokens.dtype} and its mask {mask.dtype}; give int64 for both.")
        self._check_length(tokens.shape[1], "tokens")
        if not 0 <= int(tokens.min()) <= int(tokens.max()) < self._vocabulary:
            raise SessionError(
                f"tokens of the source go from {int(tokens.min())} to {int(tokens.max())}, and the vocabulary of "
                f"{self.path.name} from 0 to {self._vocabulary - 1}."
            )
        if not self._dynamic:
            room = (0, self.max_source_len - tokens.shape[1])
            tokens, mask = torch.nn.functional.pad(tokens, room, value=self._pad), torch.nn.functional.pad(mask, room)
        return tokens.contiguous(), mask.contiguous()

    def _sound(self, sound: Tensor) -> tuple[Tensor]:
        unit, axis = self._unit_and_axis()
        others = [size for index, size in enumerate(self._shape) if index != axis]
        if sound.dim() != len(self._shape) or [size for index, size in enumerate(sound.shape) if index != axis] != others:
            shape = ", ".join("n" if index == axis else str(size) for index, size in enumerate(self._shape))
            raise SessionError(
                f"the sound has the shape {tuple(sound.shape)}, and {self.path.name} takes [{shape}]. Prepare it with the "
                "checkpoint's feature extractor."
            )
        if not sound.is_floating_point():
            raise SessionError(f"the sound is {sound.dtype}; give numbers with a fraction, as the feature extractor does.")
        self._check_length(sound.shape[axis], unit)
        return (sound.to(self._dtype).contiguous(),)

    def _unit_and_axis(self) -> tuple[str, int]:
        """What a sound is made of, and along which axis: samples, or frames of features."""
        if len(self._shape) == 2:
            return "samples", 1
        return "frames", next(index for index in (1, 2) if self._shape[index] == self.max_source_len)

    def _check_length(self, length: int, unit: str) -> None:
        if length > self.max_source_len:
            hint = f", or export with --max_source_len {length} or more" if self._dynamic or not self.listens else ""
            raise SessionError(
                f"the source has {length} {unit}, and {self.path.name} takes {self.max_source_len}. Shorten it{hint}."
            )
        if length < self.min_source_len:
            raise SessionError(f"the source has {length} {unit}, and {self.path.name} takes {self.min_source_len} at least.")
