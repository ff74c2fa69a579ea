"""The KV cache: however a sequence is fed, the logits are those of one eager pass over all of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conformance.compare.logits import MAX_ABS_ERROR
from conformance.record import Check
from conformance.sessions.protocol import GenerationSession, SessionError

RELATIVE_ERROR_QUANTIZED = 0.05
"""Largest relative logit error of a quantized program over one way of feeding. Activations are quantized for each token by
itself, so feeding differently may round differently but not more."""
SEED = 20261121
RANDOM_CHUNKINGS = 3


@dataclass(frozen=True)
class Feed:
    """One way of feeding a sequence: a fresh session gets its first ``sum(chunks)`` tokens in these chunks."""

    name: str
    chunks: tuple[int, ...]


def feeds(max_seq_len: int, window: int | None) -> list[Feed]:
    """The ways that a cell tries: every length at a boundary in one call, one token at a time, and random chunks.

    Args:
        max_seq_len: The cache's capacity, in tokens.
        window: The smallest sliding window of the model's layers, if it has any.
    """
    edge = window if window is not None and window < max_seq_len else max_seq_len // 4
    lengths = {1, 2, edge - 1, edge, edge + 1, 2 * edge, max_seq_len - 1, max_seq_len}
    one_shot = [Feed(f"one call of {n}", (n,)) for n in sorted(lengths) if 1 <= n <= max_seq_len]
    rest = max_seq_len - edge
    chunked = [
        Feed("token by token", (1,) * max_seq_len),
        Feed(f"{edge}, then token by token", (edge, *(1,) * rest)),
        Feed(f"{edge - 1}, 2, the rest", (edge - 1, 2, rest - 1)),
        Feed("1, then the rest", (1, max_seq_len - 1)),
    ]
    generator = random.Random(SEED)
    for number in range(RANDOM_CHUNKINGS):
        chunks: list[int] = []
        while (left := max_seq_len - sum(chunks)) > 0:
            chunks.append(min(left, generator.randint(1, edge + 2)))
        chunked.append(Feed(f"random chunks {number + 1}", tuple(chunks)))
    return one_shot + [feed for feed in chunked if min(feed.chunks) >= 1]


def feed(session: GenerationSession, tokens: Tensor, chunks: Iterable[int]) -> Tensor:
    """Logits of a fresh session that gets ``tokens`` [1, n] in chunks: [sum(chunks), vocabulary]."""
    session.reset()
    logits, position = [], 0
    for length in chunks:
        logits.append(session.forward(tokens[:, position : position + length], position))
        position += length
    return torch.cat(logits)


def check_cache_state(
    session: GenerationSession,
    tokens: Tensor,
    reference: Tensor,
    *,
    other: Tensor,
    other_reference: Tensor,
    window: int | None,
    quantized: bool,
) -> Check:
    """Feed one sequence in every way, then another one, then one token too many.

    Args:
        session: The program's.
        tokens: [1, max_seq_len] token ids.
        reference: [max_seq_len, vocabulary], the baseline's logits from one pass.
        other: [1, m] token ids of another sequence, to see that nothing is left of the first.
        other_reference: [m, vocabulary].
        window: As for ``feeds``.
        quantized: Judge by relative error instead of ``MAX_ABS_ERROR``.
    """
    runs: list[dict[str, object]] = []
    wrong: list[str] = []

    def hold(name: str, expected: Tensor, found: Tensor) -> None:
        error = float((found - expected).abs().max())
        relative = float((found - expected).norm() / expected.norm())
        good = relative <= RELATIVE_ERROR_QUANTIZED if quantized else error <= MAX_ABS_ERROR
        runs.append({"feed": name, "tokens": found.shape[0], "max_abs_error": error, "relative_error": relative})
        if not good:
            worst = (found - expected).abs().amax(1).nan_to_num(nan=float("inf"))
            first = int((worst > min(MAX_ABS_ERROR, float(worst.max()) / 2)).nonzero()[0])
            wrong.append(f"{name}: max abs error {error:.2e}, relative {relative:.2e}, first at position {first}")

    for way in feeds(session.max_seq_len, window):
        length = sum(way.chunks)
        hold(way.name, reference[:length], feed(session, tokens, way.chunks))
    hold("another sequence after reset", other_reference, feed(session, other, (other.shape[1],)))
    hold("the first sequence again", reference, feed(session, tokens, (tokens.shape[1],)))
    refusal = _refusal(session, tokens)
    if refusal is None:
        wrong.append(f"{session.max_seq_len + 1} tokens were accepted by a cache of {session.max_seq_len}")
    else:
        hold("after a refused call", reference, feed(session, tokens, (tokens.shape[1],)))
    limit = f"relative {RELATIVE_ERROR_QUANTIZED}" if quantized else f"{MAX_ABS_ERROR:.0e}"
    worst = max(_figure(run, "relative_error" if quantized else "max_abs_error") for run in runs)
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong)
        or f"{len(runs)} ways of feeding agree with one eager pass, worst {worst:.2e} (at most {limit})",
        metrics={"window": window, "runs": runs, "refusal": refusal},
    )


def _figure(run: dict[str, object], name: str) -> float:
    value = run[name]
    assert isinstance(value, float)
    return value


def _refusal(session: GenerationSession, tokens: Tensor) -> str | None:
    """The session's message to one token too many; ``None`` if it took them."""
    session.reset()
    try:
        session.forward(torch.cat([tokens, tokens[:, :1]], dim=1), 0)
    except SessionError as error:
        return str(error)
    return None


def fill(sequences: Sequence[Sequence[int]], length: int) -> list[int]:
    """A sequence of exactly ``length`` tokens: the longest one, continued by the others."""
    ordered = sorted(sequences, key=len, reverse=True)
    tokens: list[int] = []
    while len(tokens) < length:
        for sequence in ordered:
            tokens += sequence
    return tokens[:length]
