"""``MaskedLMExportableModule``: encoders of text, with or without their output layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.attention.implementation import set_attention
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.wrappers import ExportableMethod, refuse_cache_options

DEFAULT_MAX_SEQ_LEN = 512


class MaskedLMExportableModule(nn.Module):
    """Token ids and their padding mask in, logits out; every token sees all the others, and nothing is kept between calls.

    Args:
        model: An encoder of transformers, in evaluation mode. Its attention implementation is set to ``eager``. Without its
            output layer it answers hidden states.
        config: The configuration; ``max_seq_len=None`` takes the model's context, at most 512.

    Raises:
        ExportError: the model's context is shorter than ``max_seq_len``.
        NotApplicableError: the configuration asks for a cache or for custom SDPA, or for a shared embedding that is not tied.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        refuse_cache_options(model, config)
        room = context(model)
        self.max_seq_len = config.max_seq_len or min(room or DEFAULT_MAX_SEQ_LEN, DEFAULT_MAX_SEQ_LEN)
        if room and self.max_seq_len > room:
            raise ExportError(f"max_seq_len {self.max_seq_len} exceeds the model's context of {room}; use at most {room}.")
        head = model.get_output_embeddings()
        if config.use_shared_embedding and (head is None or head.weight is not model.get_input_embeddings().weight):
            raise NotApplicableError(
                f"the embedding of {type(model).__name__} is not tied to its output layer; nothing is shared."
            )
        set_attention(model, "eager")
        self.config = config
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of every token of a text.

        Args:
            input_ids: [1, n] int64 token ids.
            attention_mask: [1, n] int64, 1 for a token and 0 for padding, which no token sees.

        Returns:
            [1, n, vocabulary] logits, or [1, n, hidden] states of a model without an output layer.
        """
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        answers: Tensor = output.logits if "logits" in output else output.last_hidden_state
        return answers

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, with a length from 1 to ``max_seq_len`` tokens, or of exactly ``max_seq_len``."""
        count = min(3, self.max_seq_len) if self.config.dynamic_shapes else self.max_seq_len
        inputs = (torch.zeros(1, count, dtype=torch.long), torch.ones(1, count, dtype=torch.long))
        length = torch.export.Dim("length", min=1, max=self.max_seq_len)
        shapes = ({1: length}, {1: length}) if self.config.dynamic_shapes else None
        return {"forward": ExportableMethod(module=self, example_inputs=inputs, dynamic_shapes=shapes)}

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.masked_lm(self.model, self.config, max_seq_len=self.max_seq_len)

    def cache_report(self) -> list[dict[str, Any]]:
        """Nothing: there is no cache."""
        return []


def context(model: PreTrainedModel) -> int | None:
    """Tokens the model has positions for. RoBERTa and its kin begin to count after the padding token's id."""
    table: Any = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    if positions is None or getattr(table, "padding_idx", None) is None:
        return positions
    return positions - int(table.padding_idx) - 1
