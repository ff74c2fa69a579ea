"""The greedy loop, over any session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
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


def steps(
    session: GenerationSession,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos_ids: Collection[int] = (),
    guess: Sequence[int] = (),
) -> Generator[tuple[int, float], None, str]:
    """Decode greedily from a fresh sequence, token by token.

    Args:
        session: Any generation session; it is reset first.
        prompt: Token ids.
        max_new_tokens: Tokens to choose at most; fewer if the cache is full.
        eos_ids: Tokens that end the text.
        guess: What the session will probably say. As long as it is right, it is fed in one call; from the first other token on,
            one by one. The tokens are the same; the session must be able to go back.

    Yields:
        Each token as it is chosen, and by how much it led the second best.

    Returns:
        ``Generation.stop``.

    Raises:
        SessionError: the prompt is empty or longer than the cache.
    """
    session.reset()
    logits = session.forward(torch.tensor([list(prompt)], dtype=torch.long), 0)[-1]
    position = len(prompt)
    ahead: list[torch.Tensor] = []  # logits after guessed tokens that were fed together
    right = True
    for count in range(1, max_new_tokens + 1):
        best = torch.topk(logits, 2)
        token = int(best.indices[0])
        yield token, float(best.values[0] - best.values[1])
        if token in eos_ids:
            return "eos"
        if count == max_new_tokens:
            break
        if position >= session.max_seq_len:
            return "full"
        right = right and list(guess[count - 1 : count]) == [token]
        if right and ahead:
            logits = ahead.pop(0)
        else:
            room = min(session.max_seq_len - position, max_new_tokens - count)
            guessed = guess[count : count + room - 1] if right else ()
            logits, *ahead = session.forward(torch.tensor([[token, *guessed]]), position)
        position += 1
    return "length"


def generate(
    session: GenerationSession,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos_ids: Collection[int] = (),
    on_token: Callable[[int], None] | None = None,
    guess: Sequence[int] = (),
) -> Generation:
    """Decode greedily from a fresh sequence; the arguments are those of ``steps``.

    Args:
        on_token: Called with each token as it is chosen.

    Raises:
        SessionError: the prompt is empty or longer than the cache.
    """
    tokens: list[int] = []
    margins: list[float] = []
    going = steps(session, prompt, max_new_tokens=max_new_tokens, eos_ids=eos_ids, guess=guess)
    while True:
        try:
            token, margin = next(going)
        except StopIteration as ended:
            return Generation(prompt=tuple(prompt), tokens=tuple(tokens), margins=tuple(margins), stop=ended.value)
        tokens.append(token)
        margins.append(margin)
        if on_token is not None:
            on_token(token)
