"""Programs that another exporter made, behind the sessions' protocols: inputs in another order, constant methods that are not
there, one position instead of all, one row of logits instead of all, no cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from conformance.sessions.executorch import ExecuTorchInference
from conformance.sessions.layout import MASK, POSITIONS, STATES, TOKENS, Layout, Method
from conformance.sessions.program import Program
from conformance.sessions.protocol import SessionError, check_call
from conformance.sessions.seq2seq import ExecuTorchSeq2Seq

P = TypeVar("P", bound=Program)


def telling(kind: type[P], told: Mapping[str, Any]) -> type[P]:
    """A class of programs that are told what their constant methods do not say."""
    return type(kind.__name__, (kind,), {"told": dict(told)})


class ForeignDecoder(Program):
    """A decoder with a method ``forward``, as a generation session.

    Args:
        path: The ``.pte``.
        layout: Its layout.
        max_seq_len: Positions that it is fed.
        options: ``Program``'s.
    """

    def __init__(self, path: str | os.PathLike[str], layout: Layout, max_seq_len: int, **options: Any) -> None:
        super().__init__(path, **options)
        method = layout.methods["forward"]
        self.max_seq_len = max_seq_len
        self.cached = POSITIONS in method.roles
        self._method = method
        self._longest = method.input(TOKENS).sizes[1]
        self._dynamic = method.input(TOKENS).dynamic
        self._begins = self.cached and method.input(POSITIONS).sizes == (1,) and self._longest > 1
        answer = method.outputs[0].sizes
        self._last_only = self._longest > 1 and (len(answer) == 2 or answer[-2] == 1)
        if self.cached and not self._dynamic and self._longest > 1:
            raise SessionError(
                f"{self.path} takes exactly {self._longest} tokens a call and keeps a cache: a sequence cannot be continued "
                "token by token."
            )
        self._fed: list[int] = []

    @property
    def one_token(self) -> bool:
        """Whether every way of feeding it comes down to one token a call."""
        return self._last_only or (self.cached and self._longest == 1)

    def reset(self) -> None:
        self._fed = []

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=len(self._fed), max_seq_len=self.max_seq_len)
        self._fed[position:] = tokens[0].tolist()
        if not self.cached:
            return self._anew(position)
        chunks = torch.split(tokens, 1 if self._last_only else self._longest, dim=1)
        found = []
        for chunk in chunks:
            found.append(self._rows(self._call(chunk, position)))
            position += chunk.shape[1]
        return torch.cat(found)

    def _anew(self, position: int) -> Tensor:
        """The logits from a position on, without a cache: everything is fed again."""
        rows = []
        ends = range(position + 1, len(self._fed) + 1) if self._last_only else [len(self._fed)]
        for end in ends:
            tokens = torch.tensor([self._fed[:end]])
            if not self._dynamic:
                tokens = torch.nn.functional.pad(tokens, (0, self._longest - end))
            found = self._rows(self._call(tokens, 0))
            rows.append(found[-1:] if self._last_only else found[position:end])
        return torch.cat(rows)

    def _call(self, tokens: Tensor, position: int) -> Tensor:
        count = 1 if self._begins else tokens.shape[1]
        given = {
            TOKENS: tokens.contiguous(),
            MASK: torch.ones_like(tokens),
            POSITIONS: torch.arange(position, position + count),
        }
        return self.run("forward", *(given[role] for role in self._method.roles))[0]

    def _rows(self, answer: Tensor) -> Tensor:
        """[n, vocabulary] of [1, n, vocabulary] or [1, vocabulary]."""
        return (answer[0] if answer.dim() == 3 else answer).float().clone()


class ForeignSeq2Seq(ExecuTorchSeq2Seq):
    """An encoder that may take no mask, and a decoder whose inputs come in any order."""

    roles: tuple[str, ...] = ()
    """Of the decoder's inputs."""
    encoder_inputs = 1

    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        self.reset()
        source, *masks = inputs.values()
        read = self._sound(source) if self.listens else self._text(source, masks)
        self._read = ()
        self._read = (self.run("encoder", *read[: self.encoder_inputs])[0].clone(), *read[1:])

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        if not self._read:
            raise SessionError(f"the decoder of {self.path.name} has nothing to read: condition the session first.")
        given = {TOKENS: tokens, POSITIONS: positions, STATES: self._read[0], MASK: self._read[-1]}
        return self.run("text_decoder", *(given[role] for role in self.roles))[0]


class ForeignInference(ExecuTorchInference):
    """A program of one pass that may take no mask."""

    def run(self, method: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        return super().run(method, *inputs[: len(self._sizes)])


def foreign_seq2seq(layout: Layout, told: Mapping[str, Any]) -> type[ForeignSeq2Seq]:
    """The session of an encoder and its decoder."""
    kind = telling(ForeignSeq2Seq, told)
    decoder: Method = layout.methods["text_decoder"]
    kind.roles = decoder.roles
    kind.encoder_inputs = len(layout.methods["encoder"].inputs)
    return kind
