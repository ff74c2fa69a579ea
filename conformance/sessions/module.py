"""The exportable module itself, in eager PyTorch: what is exported, before it is. A defect found here is the wrapper's or the
cache's, not lowering's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from conformance.sessions.protocol import SessionError, check_call
from exporters.wrappers.causal_lm import CausalLMExportableModule
from exporters.wrappers.seq2seq_lm import Seq2SeqLMExportableModule


class ModuleSession:
    """A session over a ``CausalLMExportableModule``."""

    def __init__(self, module: CausalLMExportableModule) -> None:
        self.module = module
        self.max_seq_len = module.max_seq_len
        self.rewinds = bool(module.constant_methods()["supports_rewind"])
        self._fed = 0

    def reset(self) -> None:
        self._fed = 0

    @torch.no_grad()
    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        if not self.rewinds and 0 < position < self._fed:
            raise SessionError(f"cannot go back to position {position} of {self._fed}.")
        parts = torch.split(tokens, 1 if not self.module.config.dynamic_shapes else tokens.shape[1], dim=1)
        logits = []
        for part in parts:
            logits.append(self.module(part, torch.arange(position, position + part.shape[1]))[0])
            position += part.shape[1]
        self._fed = position
        return torch.cat(logits).float()


class Seq2SeqModuleSession:
    """A conditioned session over a ``Seq2SeqLMExportableModule``."""

    def __init__(self, module: Seq2SeqLMExportableModule) -> None:
        self.module = module
        self.max_seq_len = module.max_seq_len
        self._fed = 0
        self._read: tuple[Tensor, ...] = ()

    @torch.no_grad()
    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        self.reset()
        source, *masks = inputs.values()
        if source.shape[self.module.source.axis] > self.module.source.longest:
            raise SessionError(f"the source is longer than {self.module.source.longest}.")
        self._read = (self.module.encoder(source, *masks), *masks)

    def reset(self) -> None:
        self._fed = 0

    @torch.no_grad()
    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        self._fed = position + tokens.shape[1]
        positions = torch.arange(position, self._fed)
        logits: Tensor = self.module.text_decoder(tokens, positions, *self._read)[0].float()
        return logits
