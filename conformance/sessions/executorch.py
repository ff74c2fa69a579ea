"""The ExecuTorch runtime behind the sessions' protocols."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from conformance.sessions.program import DAMAGED, Program
from conformance.sessions.protocol import SessionError, check_call
from exporters.artifact import ProgramFile


class ExecuTorchSession(Program):
    """A ``.pte`` of ``CausalLMExportableModule``, as a generation session; the arguments are ``Program``'s."""

    def __init__(
        self, path: str | os.PathLike[str], *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> None:
        super().__init__(path, expected=expected, threads=threads, verify=verify)
        self.max_seq_len = self.integer("get_max_context_len", self.integer("get_max_seq_len"))
        self._limit = self.integer("get_max_seq_len") if self.constant("enable_dynamic_shape", True) else 1
        self._rewinds = bool(self.constant("supports_rewind", True))
        self._vocabulary = self.integer("get_vocab_size", 2**31)
        if min(self.max_seq_len, self._limit) < 1:
            raise SessionError(f"{self.path} states that it takes {min(self.max_seq_len, self._limit)} tokens. {DAMAGED}")
        self._fed = 0

    def reset(self) -> None:
        self._fed = 0

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        if not 0 <= int(tokens.min()) <= int(tokens.max()) < self._vocabulary:
            # Not every embedding kernel looks (executorch 1.4.1).
            raise SessionError(
                f"tokens go from {int(tokens.min())} to {int(tokens.max())}, and the vocabulary of {self.path.name} from 0 to "
                f"{self._vocabulary - 1}."
            )
        if not self._rewinds and 0 < position < self._fed:
            raise SessionError(
                f"cannot go back to position {position} of {self._fed}: the caches of {self.path.name} no longer have what lay "
                "before. Reset and feed the sequence again."
            )
        logits = []
        for chunk in torch.split(tokens, self._limit, dim=1):
            positions = torch.arange(position, position + chunk.shape[1])
            answer = self.step(chunk.contiguous(), positions)
            if answer.dim() != 3 or answer.shape[:2] != chunk.shape or answer.shape[2] < 2:
                raise SessionError(f"{self.path} answers {list(chunk.shape)} tokens with {list(answer.shape)}. {DAMAGED}")
            logits.append(answer[0])
            position += chunk.shape[1]
            self._fed = position
        return logits[0].float() if len(logits) == 1 else torch.cat(logits).float()

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The logits [1, n, vocabulary] of one call of the program with tokens [1, n] at positions [n]."""
        return self.run("forward", tokens, positions)[0]


class ExecuTorchInference(Program):
    """A ``.pte`` of one pass, as an inference session; the arguments are ``Program``'s.

    A text shorter than a program with static shapes is padded, and its padding taken off the answer.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> None:
        super().__init__(path, expected=expected, threads=threads, verify=verify)
        self._sizes = self.input_sizes()
        self._dtype = self.float_dtype()
        self._reads = "get_max_seq_len" in self.methods
        self.max_seq_len = self.integer("get_max_seq_len") if self._reads else None
        self._vocabulary = self.integer("get_vocab_size", 2**31)
        self._pad = self.integer("get_pad_id", 0)
        self._dynamic = bool(self.constant("enable_dynamic_shape", False))
        self.sounds: tuple[int, int] | None = None
        """Samples of the shortest and of the longest sound; ``None`` of a program that does not listen."""
        if "get_sampling_rate" in self.methods:
            self.sounds = self.integer("get_min_source_len"), self.integer("get_max_source_len")

    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        values = list(inputs.values())
        if self.sounds is not None:
            return self._hear(values, *self.sounds)
        if not self._reads:
            return self._look(values)
        tokens, mask = values
        self._check_text(tokens, mask)
        length = tokens.shape[1]
        if not self._dynamic and self.max_seq_len is not None:
            room = (0, self.max_seq_len - length)
            tokens = torch.nn.functional.pad(tokens, room, value=self._pad)
            mask = torch.nn.functional.pad(mask, room)
        return self.run("forward", tokens.contiguous(), mask.contiguous())[0][0, :length].float()

    def _hear(self, values: list[Tensor], shortest: int, longest: int) -> Tensor:
        (sound,) = values
        if sound.dim() != 2 or sound.shape[0] != 1 or not sound.is_floating_point():
            raise SessionError(f"the sound is {sound.dtype} of the shape {tuple(sound.shape)}; give [1, samples] fractions.")
        if not shortest <= sound.shape[1] <= longest:
            raise SessionError(
                f"the sound has {sound.shape[1]} samples, and {self.path.name} takes {shortest} to {longest}. Cut it, or "
                "export with another --max_source_len."
            )
        return self.run("forward", sound.to(self._dtype).contiguous())[0][0].float()

    def _look(self, values: list[Tensor]) -> Tensor:
        found = [tuple(value.shape) for value in values]
        if found != self._sizes:
            raise SessionError(
                f"the inputs have the shapes {found}, and {self.path.name} takes {self._sizes}: images of one size. Resize "
                "them as the checkpoint's image processor does."
            )
        answers = self.run("forward", *(value.to(self._dtype).contiguous() for value in values))
        # A detector answers logits and boxes, [1, queries, ...] each.
        return answers[0].float() if len(answers) == 1 else torch.cat([answer[0] for answer in answers], dim=-1).float()

    def _check_text(self, tokens: Tensor, mask: Tensor) -> None:
        if tokens.dim() != 2 or tokens.shape[0] != 1 or tokens.shape[1] == 0 or mask.shape != tokens.shape:
            raise SessionError(
                f"tokens have the shape {tuple(tokens.shape)} and their mask {tuple(mask.shape)}; give [1, n] with at least "
                "one token for both."
            )
        if tokens.dtype is not torch.int64 or mask.dtype is not torch.int64:
            raise SessionError(f"tokens are {tokens.dtype} and their mask {mask.dtype}; give int64 for both.")
        if self.max_seq_len is not None and tokens.shape[1] > self.max_seq_len:
            raise SessionError(
                f"the text has {tokens.shape[1]} tokens, and {self.path.name} takes {self.max_seq_len}. Shorten it, or export "
                f"with --max_seq_len {tokens.shape[1]} or more."
            )
        if not 0 <= int(tokens.min()) <= int(tokens.max()) < self._vocabulary:
            raise SessionError(
                f"tokens go from {int(tokens.min())} to {int(tokens.max())}, and the vocabulary of {self.path.name} from 0 to "
                f"{self._vocabulary - 1}."
            )
