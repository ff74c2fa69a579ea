"""Modules whose graphs keep nothing between calls, with names for what they answer: what ONNX can express."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from exporters.config import ExportConfig
from exporters.errors import NotApplicableError

Past = list[dict[str, Tensor]]
"""A layer: its ``key`` and ``value``, [1, heads, positions, features]."""
EXAMPLE = 3, 5
"""Tokens of the traced call, and positions before them; neither 1 nor equal, which torch.export would take for a rule."""


class DecoderWithPast(nn.Module):
    """A decoder-only model that takes keys and values of the positions before, and answers them with its own.

    Sliding-window layers keep all positions, and their mask is what slides.

    Args:
        model: A decoder-only language model of transformers, in evaluation mode.
        config: Whether shapes are dynamic: any number of tokens a call, or exactly one.
        max_seq_len: Positions of a sequence.

    Raises:
        NotApplicableError: the model keeps something else than keys and values.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig, max_seq_len: int) -> None:
        super().__init__()
        model.set_attn_implementation("eager")
        self.model = model
        self.max_seq_len = max_seq_len
        self._dynamic = config.dynamic_shapes
        self._takes_positions = any(
            "position_ids" in inspect.signature(each.forward).parameters for each in (model, model.base_model)
        )
        self._masked = bool(getattr(model.config, "alibi", False))
        cache = DynamicCache(config=model.config)
        unknown = {type(layer).__name__ for layer in cache.layers} - {DynamicLayer.__name__, DynamicSlidingWindowLayer.__name__}
        takes_cache = "past_key_values" in inspect.signature(model.forward).parameters
        if unknown or not takes_cache:
            kept = ", ".join(sorted(unknown)) or "a state of its own kind"
            raise NotApplicableError(
                f"format onnx: {type(model).__name__} keeps {kept}, and only keys and values can be handed on."
            )

    def forward(self, input_ids: Tensor, past_key_values: Past, position_ids: Tensor | None = None) -> dict[str, Any]:
        """Answers of the tokens of a call.

        Args:
            input_ids: [1, n] int64.
            past_key_values: Of each layer, of the positions before; none of them in the first call.
            position_ids: [1, n] int64, consecutive; ``None`` of a model that counts for itself.

        Returns:
            ``logits`` [1, n, vocabulary], or ``last_hidden_state`` [1, n, hidden] of a model without an output layer;
            ``present``: keys and values of the positions before and of this call.
        """
        cache = DynamicCache()
        for layer in past_key_values:
            held = DynamicLayer()
            held.lazy_initialization(layer["key"], layer["value"])
            held.keys, held.values = layer["key"], layer["value"]
            cache.layers.append(held)
        inputs: dict[str, Any] = {"position_ids": position_ids} if self._takes_positions else {}
        if self._masked:
            inputs["attention_mask"] = torch.ones(1, past_key_values[0]["key"].shape[2] + input_ids.shape[1], dtype=torch.long)
        output = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True, **inputs)
        name = "logits" if "logits" in output else "last_hidden_state"
        return {name: output[name], "present": [{"key": layer.keys, "value": layer.values} for layer in cache.layers]}

    def example_inputs(self) -> dict[str, Any]:
        """Inputs to trace with."""
        count, before = EXAMPLE if self._dynamic else (1, EXAMPLE[1])
        before = min(before, self.max_seq_len - count)
        tokens = torch.arange(before + count).unsqueeze(0)
        cache = DynamicCache()
        self.model(input_ids=tokens[:, :before], past_key_values=cache, use_cache=True)
        inputs: dict[str, Any] = {"input_ids": tokens[:, before:].contiguous()}
        inputs |= {"position_ids": inputs["input_ids"].clone()} if self._takes_positions else {}
        return {**inputs, "past_key_values": [{"key": layer.keys, "value": layer.values} for layer in cache.layers]}

    def dynamic_shapes(self) -> dict[str, Any]:
        """As ``torch.export.export`` takes it. The positions before are dynamic in any case."""
        before = {2: torch.export.Dim("past", min=0, max=self.max_seq_len - 1)}
        layers = [{"key": before, "value": before} for _ in self.example_inputs()["past_key_values"]]
        count = {1: torch.export.Dim("length", min=1, max=self.max_seq_len)} if self._dynamic else {}
        positions = {"position_ids": count} if self._takes_positions else {}
        return {"input_ids": count, **positions, "past_key_values": layers}


class NamedAnswers(nn.Module):
    """A wrapper's method with names for its answers.

    Args:
        module: A module that answers logits or hidden states; or logits and boxes, as a detector does.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        model: Any = module.model
        # Of a text: what an encoder without its output layer answers are hidden states.
        headless = getattr(module, "max_seq_len", None) is not None and model.get_output_embeddings() is None
        self._name = "last_hidden_state" if headless else "logits"

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """By name what the module answers."""
        answer = self.module(**inputs)
        return {self._name: answer} if isinstance(answer, Tensor) else dict(zip(("logits", "pred_boxes"), answer, strict=True))
