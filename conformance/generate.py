"""The greedy loop, over any session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from conformance.sessions.protocol import GenerationSession


@dataclass(frozen=True)
class Generation:
    """What a session said."""

    prompt: tuple[int, ...]
    """Token ids it was given."""
    tokens: tuple[int, ...]
    """Token ids it chose, the end-of-sequence token included."""
    margins: tuple[float, ...]
    """By how much each chosen token led the second best, in logits."""
    stop: str
    """``eos``, ``length`` (as many as asked for) or ``full`` (the cache)."""


def generate(
    session: GenerationSession,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos_ids: Collection[int] = (),
    on_token: Callable[[int], None] | None = None,
    guess: Sequence[int] = (),
) -> Generation:
    """Decode greedily from a fresh sequence.

    Args:
        session: Any generation session; it is reset first.
        prompt: Token ids.
        max_new_tokens: Tokens to choose at most; fewer if the cache is full.
        eos_ids: Tokens that end the text.
        on_token: Called with each token as it is chosen.
        guess: What the session will probably say. As long as it is right, it is fed in one call; from the first other token on,
            one by one. The tokens are the same; the session must be able to go back.

    Raises:
        SessionError: the prompt is empty or longer than the cache.
    """
    session.reset()
    logits = session.forward(torch.tensor([list(prompt)], dtype=torch.long), 0)[-1]
    position = len(prompt)
    tokens: list[int] = []
    margins: list[float] = []
    stop = "length"
    ahead: list[torch.Tensor] = []  # logits after guessed tokens that were fed together
    right = True
    while len(tokens) < max_new_tokens:
        best = torch.topk(logits, 2)
        token = int(best.indices[0])
        tokens.append(token)
        margins.append(float(best.values[0] - best.values[1]))
        if on_token is not None:
            on_token(token)
        if token in eos_ids:
            stop = "eos"
            break
        if len(tokens) == max_new_tokens:
            break
        if position >= session.max_seq_len:
            stop = "full"
            break
        right = right and list(guess[len(tokens) - 1 : len(tokens)]) == [token]
        if right and ahead:
            logits = ahead.pop(0)
        else:
            room = min(session.max_seq_len - position, max_new_tokens - len(tokens))
            guessed = guess[len(tokens) : len(tokens) + room - 1] if right else ()
            logits, *ahead = session.forward(torch.tensor([[token, *guessed]]), position)
        position += 1
    return Generation(prompt=tuple(prompt), tokens=tuple(tokens), margins=tuple(margins), stop=stop)
