"""Eager PyTorch: transformers' own model and cache. Quantized or not is a property of the model it is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from conformance.sessions.protocol import SessionError, check_call


class EagerSession:
    """The reference.

    Args:
        model: A transformers causal language model in evaluation mode, with ``attn_implementation="eager"``: other
            implementations drop terms of some architectures (soft-capping, for one).
        max_seq_len: Positions a sequence may have, to be comparable with an exported program.
    """

    def __init__(self, model: Any, max_seq_len: int) -> None:
        self.model = model
        self.max_seq_len = max_seq_len
        self._fed: list[int] = []
        self._cache: Any = None

    def reset(self) -> None:
        self._fed = []
        self._cache = None

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=len(self._fed), max_seq_len=self.max_seq_len)
        if position < len(self._fed):
            kept = self._fed[:position]
            self.reset()
            if kept:
                self._call(torch.tensor([kept]))
        return self._call(tokens)

    @torch.inference_mode()
    def _call(self, tokens: Tensor) -> Tensor:
        output = self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True)
        self._cache = getattr(output, "past_key_values", None)
        if self._cache is None:
            raise SessionError(f"{type(self.model).__name__} keeps no KV cache; only models with attention caches can be run.")
        self._fed += tokens[0].tolist()
        logits: Tensor = output.logits[0].float()
        return logits
