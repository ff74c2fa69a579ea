"""The protocols of sessions, and what every one of them refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class SessionError(ValueError):
    """A call that a session refuses, or a program it cannot open or run."""


class GenerationSession(Protocol):
    """A decoder with a KV cache, one sequence at a time."""

    max_seq_len: int
    """Positions the cache holds."""

    def reset(self) -> None:
        """Forget the sequence; the next call must start at position 0."""
        ...

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        """Feed tokens and get their logits.

        Args:
            tokens: [1, n] int64.
            position: Where ``tokens[0, 0]`` stands in the sequence: directly after what was fed before, or earlier to
                replace it from there on.

        Returns:
            [n, vocabulary] float32 logits.

        Raises:
            SessionError: the shape, the type or the position is wrong, or the sequence would exceed ``max_seq_len``.
        """
        ...


class ConditionedSession(GenerationSession, Protocol):
    """A generation session whose sequences are about something: a text to translate, a sound to transcribe, images."""

    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        """Read what the sequences to come are about, and begin a new one. It stays until the next call, whatever is reset.

        Args:
            inputs: By the names that transformers' model gives them; its task says which.

        Raises:
            SessionError: an input has another shape or type than the model takes.
        """
        ...


class InferenceSession(Protocol):
    """A model of one pass, without a state between calls."""

    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The model's answer.

        Args:
            inputs: By name, in the order of the program's inputs: ``input_ids`` and ``attention_mask`` [1, n] int64 of a text,
                or ``pixel_values`` [1, channels, height, width] float32 of an image.

        Returns:
            Of a text [n, vocabulary] logits or [n, hidden] states, of an image [1, classes] logits, of an image whose objects
            are to be found [queries, columns + 4]: a query's logits and then its box; float32.

        Raises:
            SessionError: an input has another shape or type than the model takes.
        """
        ...


def check_call(tokens: Tensor, position: int, *, fed: int, max_seq_len: int) -> None:
    """Refuse what a runtime would answer wrongly or die of.

    Args:
        fed: Tokens in the cache.

    Raises:
        SessionError: see ``GenerationSession.forward``.
    """
    import torch  # not above: the command line and pytest's own process need SessionError, and no torch

    if tokens.dim() != 2 or tokens.shape[0] != 1 or tokens.shape[1] == 0:
        raise SessionError(f"tokens have the shape {tuple(tokens.shape)}; give [1, n] with at least one token.")
    if tokens.dtype is not torch.int64 or tokens.is_meta:
        raise SessionError(f"tokens are {tokens.dtype} on {tokens.device}; give int64 token ids on the CPU.")
    if isinstance(position, bool) or not isinstance(position, int) or position < 0:
        raise SessionError(f"position {position!r} is not a whole number from 0 on.")
    if position > fed:
        raise SessionError(f"position {position} leaves a gap: only {fed} tokens were fed. Continue at {fed}, or reset.")
    end = position + tokens.shape[1]
    if end > max_seq_len:
        raise SessionError(
            f"{tokens.shape[1]} tokens from position {position} need {end} positions, and the cache holds {max_seq_len}. "
            f"Shorten the prompt, or export with --max_seq_len {end} or more."
        )
