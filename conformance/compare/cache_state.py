"""The KV cache: however a sequence is fed, the logits are those of one eager pass over all of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.record import Check
from conformance.sessions.protocol import GenerationSession, SessionError

SEED = 20261121
RANDOM_CHUNKINGS = 3
EVERY_LENGTH = 64
"""Caches up to this capacity get a prompt of every length; longer ones the lengths at their boundaries."""
SHOWN = 3
"""Wrong lengths that a message names."""


@dataclass(frozen=True)
class Feed:
    """One way of feeding a sequence: a fresh session gets its first ``sum(chunks)`` tokens in these chunks."""

    name: str
    chunks: tuple[int, ...]


def feeds(max_seq_len: int, window: int | None, *, every_length: bool = True, whole: Sequence[range] = ()) -> list[Feed]:
    """The ways that a cell tries: every length in one call, one token at a time, and random chunks.

    Args:
        max_seq_len: The cache's capacity, in tokens.
        window: The smallest sliding window of the model's layers, if it has any.
        every_length: Try every length in one call if the cache is short, not only those at its boundaries.
        whole: Positions that one call has to bring together.
    """
    edge = window if window is not None and window < max_seq_len else max_seq_len // 4
    lengths = {1, 2, edge - 1, edge, edge + 1, 2 * edge, max_seq_len - 1, max_seq_len}
    if max_seq_len <= EVERY_LENGTH and every_length:
        lengths = set(range(1, max_seq_len + 1))
    one_shot = [Feed(f"{_ONE_CALL} {n}", (n,)) for n in sorted(lengths) if 1 <= n <= max_seq_len]
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
    ways = [_unparted(feed, whole) for feed in one_shot + chunked if min(feed.chunks) >= 1]
    return list({feed.chunks: feed for feed in reversed(ways) if feed is not None}.values())[::-1]


def _unparted(feed: Feed, whole: Sequence[range]) -> Feed | None:
    """The feed with every cut that would part what belongs together put after it; ``None`` if it ends in the middle."""
    ends = list(itertools.accumulate(feed.chunks))
    if not whole:
        return feed
    if any(span.start < ends[-1] < span.stop for span in whole):
        return None
    moved = sorted({next((span.stop for span in whole if span.start < end < span.stop), end) for end in ends})
    return Feed(feed.name, tuple(after - before for before, after in itertools.pairwise([0, *moved])))


@dataclass(frozen=True)
class Known:
    """A sequence whose logits are known."""

    tokens: Tensor
    """[1, n] token ids."""
    logits: Tensor
    """[n, vocabulary], the baseline's from one pass."""
    begin: Callable[[GenerationSession], None] = lambda session: session.reset()
    """Lets a session begin it: forgets the sequence before, and reads what this one is about."""
    whole: Sequence[range] = ()
    """Positions that one call has to bring together."""


def feed(
    session: GenerationSession,
    tokens: Tensor,
    chunks: Iterable[int],
    begin: Callable[[GenerationSession], None] = lambda session: session.reset(),
) -> Tensor:
    """Logits of a session that begins a sequence and gets ``tokens`` [1, n] in chunks: [sum(chunks), vocabulary]."""
    begin(session)
    logits, position = [], 0
    for length in chunks:
        logits.append(session.forward(tokens[:, position : position + length], position))
        position += length
    return torch.cat(logits)


def check_cache_state(
    session: GenerationSession,
    whole: Known,
    other: Known,
    *,
    window: int | None,
    tolerance: Tolerance,
    one_token: bool = False,
) -> Check:
    """Feed one sequence in every way, then another one, then one token too many.

    Args:
        session: The program's.
        whole: The sequence that fills the cache.
        other: Another sequence, to see that nothing is left of the first.
        window: As for ``feeds``.
        tolerance: The configuration's.
        one_token: Whether the program takes one token a call, so that all ways of feeding it are the same; a few are tried.
    """
    runs: list[Run] = []
    tokens, reference = whole.tokens, whole.logits
    first = feed(session, tokens, (tokens.shape[1],), whole.begin)
    if not tolerance.exact:
        # Other kernels round elsewhere, so a position may be off as a whole, but by the same amount however it is reached:
        # one pass is held against the baseline, and every other way of feeding against that pass.
        runs.append(_compare("one pass, against the baseline", reference, first, limit=tolerance.relative))
        reference = first
    limit = tolerance.fed

    def hold(name: str, expected: Tensor, found: Tensor) -> None:
        runs.append(_compare(name, expected, found, limit=limit))

    for way in feeds(session.max_seq_len, window, every_length=not one_token, whole=whole.whole):
        length = sum(way.chunks)
        hold(way.name, reference[:length], feed(session, tokens, way.chunks))
    again = feed(session, other.tokens, (other.tokens.shape[1],), other.begin)
    runs.append(_compare("another sequence after reset", other.logits, again, limit=tolerance.relative))
    hold("the first sequence again", reference, feed(session, tokens, (tokens.shape[1],), whole.begin))
    refusal = _refusal(session, tokens)
    if refusal is not None:
        hold("after a refused call", reference, feed(session, tokens, (tokens.shape[1],)))
    wrong = _wrong(runs)
    if refusal is None:
        wrong.insert(0, f"{session.max_seq_len + 1} tokens were accepted by a cache of {session.max_seq_len}")
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong) or _agreement(runs, tolerance),
        metrics={
            "window": window,
            "ways": len(runs),
            "lengths": sorted(run.tokens for run in runs if run.name.startswith(_ONE_CALL)),
            "worst_by_way": _worst_by_way(runs),
            "refusal": refusal,
        },
    )


_ONE_CALL = "one call of"


@dataclass(frozen=True)
class Run:
    """One way of feeding, compared with the baseline."""

    name: str
    tokens: int
    max_abs_error: float
    relative_error: float
    """The largest of all positions: norm of the difference over the norm of the expected logits there."""
    limit: float | None
    """Of the relative error; ``None`` where the absolute error is judged."""
    wrong: str | None
    """What is wrong with it; ``None`` if nothing is."""


def _compare(name: str, expected: Tensor, found: Tensor, *, limit: float | None) -> Run:
    """Judge position by position: over a long sequence an error at one of them must not be averaged away.

    Args:
        limit: Largest relative error; ``None`` judges by ``MAX_ABS_ERROR``.
    """
    difference = (found - expected).double()
    errors = difference.abs().amax(1)
    relative_errors = difference.norm(dim=1) / expected.double().norm(dim=1).clamp_min(1e-30)
    over = ~(errors <= MAX_ABS_ERROR if limit is None else relative_errors <= limit)  # not a number is over
    error, relative = float(errors.max()), float(relative_errors.max())
    wrong = None
    if bool(over.any()):
        first = int(over.nonzero()[0])
        wrong = f"{name}: max abs error {error:.2e}, relative {relative:.2e}, first at position {first}"
    return Run(name, found.shape[0], error, relative, limit, wrong)


def _wrong(runs: Sequence[Run]) -> list[str]:
    """What is wrong with the runs; of the lengths that were fed in one call the first ``SHOWN`` are told."""
    lengths = [run.wrong for run in runs if run.wrong is not None and run.name.startswith(_ONE_CALL)]
    others = [run.wrong for run in runs if run.wrong is not None and not run.name.startswith(_ONE_CALL)]
    more = [f"{len(lengths) - SHOWN} more lengths in one call"] if len(lengths) > SHOWN else []
    return [*lengths[:SHOWN], *more, *others]


def _agreement(runs: Sequence[Run], tolerance: Tolerance) -> str:
    """How close the runs are, with the limit of each kind of comparison."""
    closeness = []
    for limit in dict.fromkeys(run.limit for run in runs):
        alike = [run for run in runs if run.limit == limit]
        if limit is None:
            closeness.append(f"max abs error {max(run.max_abs_error for run in alike):.2e} (at most {MAX_ABS_ERROR:.0e})")
        else:
            subject = "to the baseline" if limit == tolerance.relative else "between ways of feeding"
            worst = max(run.relative_error for run in alike)
            closeness.append(f"relative error {subject} {worst:.2e} (at most {limit})")
    return f"{len(runs)} ways of feeding agree with one eager pass: {', '.join(closeness)}"


def _worst_by_way(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """The largest errors of each way of feeding; the lengths that were fed in one call count as one way."""
    worst: dict[str, dict[str, float]] = {}
    for run in runs:
        name = "one call" if run.name.startswith(_ONE_CALL) else run.name
        found = worst.setdefault(name, {"max_abs_error": 0.0, "relative_error": 0.0})
        for figure, value in (("max_abs_error", run.max_abs_error), ("relative_error", run.relative_error)):
            found[figure] = value if not value <= found[figure] else found[figure]
    return worst


def _refusal(session: GenerationSession, tokens: Tensor) -> str | None:
    """The session's message to one token too many; ``None`` if it took them."""
    session.reset()
    try:
        session.forward(torch.cat([tokens, tokens[:, :1]], dim=1), 0)
    except SessionError as error:
        return str(error)
    return None


def another(sequences: Sequence[Sequence[int]]) -> int:
    """The index of a sequence that is not the one ``fill`` begins with: of the shortest ones the last, where ``fill`` takes the
    first of the longest."""
    return min(reversed(range(len(sequences))), key=lambda index: len(sequences[index]))


def longest(sequences: Sequence[Sequence[int]]) -> int:
    """The index of the sequence that ``fill`` begins with."""
    return max(range(len(sequences)), key=lambda index: len(sequences[index]))


def fill(sequences: Sequence[Sequence[int]], length: int, filler: Sequence[int] = ()) -> list[int]:
    """A sequence of exactly ``length`` tokens: the longest one, continued by ``filler`` or by the other ones."""
    ordered = sorted(sequences, key=len, reverse=True)
    rest = itertools.cycle([filler] if filler else [*ordered[1:], ordered[0]])
    tokens = list(ordered[0])
    while len(tokens) < length:
        tokens += next(rest)
    return tokens[:length]
