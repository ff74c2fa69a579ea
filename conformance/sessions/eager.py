"""Eager PyTorch: transformers' own model and cache. Quantized or not is a property of the model it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.sessions import eager_cache
from conformance.sessions.converted import ConvertedInference, ConvertedSession, converted
from conformance.sessions.protocol import GenerationSession, InferenceSession, SessionError, check_call
from exporters.config import ExportConfig


class EagerSession:
    """The reference.

    Args:
        model: A transformers causal language model, or one without its output layer, in evaluation mode, with
            ``attn_implementation="eager"``: other implementations drop terms of some architectures (soft-capping, for one).
        max_seq_len: Positions a sequence may have, to be comparable with an exported program.
        cache_bits: 8 to store keys and values in 8 bits; ``None`` keeps them as they are.
        sink: Sinks and window of full-attention layers; ``None`` attends to everything.
        windows: Of the layers in turn, 0 for one that attends to everything; ``None`` leaves layers as the model has them.
    """

    def __init__(
        self,
        model: Any,
        max_seq_len: int,
        *,
        cache_bits: int | None = None,
        sink: tuple[int, int] | None = None,
        windows: tuple[int, ...] | None = None,
    ) -> None:
        self.model = model
        self.max_seq_len = max_seq_len
        self._fed: list[int] = []
        self._cache: Any = None
        self._cache_bits = cache_bits
        self._sink = sink
        self._windows = windows
        self._cache_argument = (
            "cache_params" if "cache_params" in inspect.signature(model.forward).parameters else "past_key_values"
        )

    def reset(self) -> None:
        self._fed = []
        self._cache = None

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=len(self._fed), max_seq_len=self.max_seq_len)
        if position < len(self._fed):
            kept = self._fed[:position]
            self.reset()
            if kept:
                self._feed(torch.tensor([kept]))
        return self._feed(tokens)

    def _feed(self, tokens: Tensor) -> Tensor:
        # A recurrent model of transformers 5.23.0 starts a pass over several tokens from nothing: after the first call it gets
        # them one by one.
        if not (self.model._is_stateful and self._fed):
            return self._call(tokens)
        return torch.cat([self._call(token) for token in torch.split(tokens, 1, dim=1)])

    def arguments(self, tokens: Tensor) -> dict[str, Any]:
        """What the model is given beside the tokens [1, n] of a call."""
        return {}

    @torch.inference_mode()
    def _call(self, tokens: Tensor) -> Tensor:
        if self._cache is None:
            self._cache = eager_cache.build(self.model, bits=self._cache_bits)
        with ExitStack() as attention:
            if self._sink is not None:
                attention.enter_context(eager_cache.attention_sink(*self._sink))
            if self._windows is not None:
                attention.enter_context(eager_cache.local_attention(self.model, self._windows))
            output = self.model(
                input_ids=tokens, use_cache=True, **{self._cache_argument: self._cache}, **self.arguments(tokens)
            )
        if getattr(output, self._cache_argument, None) is None:
            raise SessionError(f"{type(self.model).__name__} keeps no cache; only models that generate with one can be run.")
        self._fed += tokens[0].tolist()
        answers: Tensor = output.logits if "logits" in output else output.last_hidden_state
        return answers[0].float()


def baseline_inference(checkpoint: Path, config: ExportConfig, *, task: str) -> InferenceSession:
    """The baseline of a model of one pass, which rounds what the configuration rounds.

    Raises:
        ExportError: as ``rounded_model``.
    """
    if config.pt2e_quantize is not None:
        return ConvertedInference(converted(checkpoint, config, task=task), config)
    return EagerInference(rounded_model(checkpoint, config, task=task))


class EagerInference:
    """The reference for models of one pass: a transformers model in evaluation mode, with ``attn_implementation="eager"``."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.inference_mode()
    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        output = self.model(
            **{name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        )
        if "pred_boxes" in output:
            return torch.cat([output.logits[0], output.pred_boxes[0]], dim=-1).float()
        answers: Tensor = output.logits if "logits" in output else output.last_hidden_state
        return (answers[0] if answers.dim() == 3 else answers).float()


def rounded_model(checkpoint: Path, config: ExportConfig, *, task: str) -> Any:
    """The checkpoint in eager PyTorch, with the dtype and the quantized weights of the configuration.

    Raises:
        ExportError: the checkpoint cannot be loaded, or not be quantized as the configuration asks.
    """
    from exporters.pipeline import load_model
    from exporters.quantize import quantize

    model = load_model(checkpoint, task=task, dtype=config.dtype)
    quantize(model, config)
    return model


def eager_session(model: Any, max_seq_len: int, config: ExportConfig) -> EagerSession:
    """Eager PyTorch with a cache that rounds and forgets what the configuration's does."""
    return EagerSession(
        model,
        max_seq_len,
        cache_bits=8 if config.quantize_kv_cache else None,
        sink=config.attention_sink,
        windows=config.local_windows,
    )


def baseline(
    checkpoint: Path,
    config: ExportConfig,
    max_seq_len: int,
    *,
    task: str = "text-generation",
    session: Callable[[Any, int, ExportConfig], GenerationSession] = eager_session,
) -> GenerationSession:
    """Eager PyTorch, rounding what the configuration rounds: its dtype, its quantized weights, its cache.

    Args:
        checkpoint: A checkpoint directory.
        config: A configuration.
        max_seq_len: Positions a sequence may have.
        task: What the model does.
        session: The session of a transformers model.

    Raises:
        ExportError: the checkpoint cannot be loaded, or not be quantized as the configuration asks.
    """
    if config.pt2e_quantize is not None:
        return ConvertedSession(converted(checkpoint, replace(config, max_seq_len=max_seq_len), task=task), config)
    return session(rounded_model(checkpoint, config, task=task), max_seq_len, config)
