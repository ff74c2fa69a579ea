"""Statistics of paired measurements: how much slower one thing is than another, and how sure that is.

Two sessions are timed in turns, block by block. What is said about them is the logarithm of the ratio of their times: whatever
slows the machine down for a while slows both. Three things remain, and ``docs/gate.md`` has how large they are:

- **Drift**, and which session came first. Two blocks after each other read E P P E; their mean, a **pair**, has neither.
- **Other work on the machine** slows eager PyTorch more than a program (2.4 against 1.6 times, in decoding), so that the ratio
  itself is another one. Pairs in which the reference was slow are **not quiet**: they are put aside.
- **Launches**: the pairs of one process have in common where its memory lies. So a process is what is sampled, and what a few
  of them have in common is no evidence of how far they can be apart: their spread is estimated together with ``LAUNCH_SD``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LAUNCH_SD, LAUNCH_SD_WEIGHT = 0.02, 4
"""What the standard deviation of launches is taken for before any is seen, and how many degrees of freedom that counts for (as
in Smyth, 2004, doi:10.2202/1544-6115.1027)."""
QUIET = 1.15
"""A pair is quiet if the reference took at most so many times as long as in the fastest tenth of all pairs."""
LEAST_PAIRS = 3
"""Quiet pairs that a launch needs to count."""
LEAST_QUIET = 0.25
"""Share of a side's pairs that have to be quiet: where nearly all of them are not, those that seem so are not either."""
TRIM = 0.25
"""Share of a launch's quiet pairs that is left out at either end before the mean is taken."""
REPLICATES = 200
"""Of the bootstrap: its standard error is then within 5 %."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Launch:
    """One process: its pairs of blocks."""

    ratios: tuple[float, ...]
    """Logarithm of the times over those of the reference."""
    reference: tuple[float, ...]
    """Seconds of the slower of the two turns of the reference."""


def launch(reference: Sequence[float], times: Sequence[float]) -> Launch:
    """The launch in which two sessions took so many seconds in each block, in the order of the blocks."""
    count = min(len(times), len(reference)) // 2 * 2
    first, second = (np.asarray(side[:count], dtype=float).reshape(-1, 2) for side in (reference, times))
    return Launch(tuple(np.log(second / first).mean(axis=1).tolist()), tuple(first.max(axis=1).tolist()))


@dataclass(frozen=True)
class Interval:
    """A ratio of times with its confidence interval: 1.10 is 10 % slower."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio - 1:+.1%} ({self.low - 1:+.1%} to {self.high - 1:+.1%})"


@dataclass(frozen=True)
class Comparison:
    """How much longer something takes than before."""

    log_ratio: float
    """Above 0 where it is slower."""
    error: float
    """Its standard error."""
    freedom: float
    """Degrees of freedom of ``error``."""
    launches: tuple[int, ...]
    """Launches that count, of either side."""

    def interval(self, alpha: float) -> Interval:
        """The interval that the truth is above, and below, with an error rate of ``alpha`` at either end."""
        reach = self.error * float(stats.t.ppf(1 - alpha, self.freedom))
        return Interval(*(math.exp(self.log_ratio + shift) for shift in (0.0, -reach, reach)))

    def p_slower(self, margin: float) -> float:
        """How probable a result like this is if it is at most ``margin`` slower (0.05: 5 %)."""
        return float(stats.t.sf((self.log_ratio - math.log1p(margin)) / self.error, self.freedom))

    def p_faster(self, margin: float) -> float:
        """Likewise, if it is at most ``margin`` faster."""
        return float(stats.t.cdf((self.log_ratio + math.log1p(margin)) / self.error, self.freedom))


@dataclass(frozen=True)
class Noise:
    """Why nothing can be said: one of the sides has no quiet launch, or hardly a quiet pair."""

    slowdowns: tuple[float, ...]
    """By side how many times as long the reference took, in the median, as in the fastest tenth of all pairs."""
    lacking: tuple[int, ...] = ()
    """The sides that were not quiet enough."""


def compare(*sides: Sequence[Launch], launch_sd: float = LAUNCH_SD, seed: int = 0) -> Comparison | Noise:
    """Compare launches now with launches before; or, given one side, times with their reference.

    Args:
        sides: ``before, after``: the ratio of times over reference, after against before; or one side.
        launch_sd: What the standard deviation of launches is taken for before any is seen.
        seed: Of the bootstrap.
    """
    slow = [np.log([second for each in side for second in each.reference]) for side in sides]
    everything = np.concatenate(slow)
    if not everything.size:
        return Noise(tuple(math.nan for _ in sides))
    fastest = float(np.quantile(everything, 0.1))
    limit = math.exp(fastest) * QUIET
    quiet = [[np.array(each.ratios)[np.array(each.reference) <= limit] for each in side] for side in sides]
    kept = [[ratios for ratios in side if len(ratios) >= LEAST_PAIRS] for side in quiet]
    shares = [sum(map(len, ratios)) / max(times.size, 1) for ratios, times in zip(quiet, slow, strict=True)]
    lacking = tuple(index for index, share in enumerate(shares) if share < LEAST_QUIET or not kept[index])
    if lacking:
        slowdowns = (math.exp(float(np.median(side)) - fastest) if side.size else math.nan for side in slow)
        return Noise(tuple(slowdowns), lacking)
    generator = np.random.default_rng(seed)
    centers = [np.array([_center(ratio[np.newaxis])[0] for ratio in side]) for side in kept]
    within = [np.array([_variance(ratio, generator) for ratio in side]) for side in kept]
    spread, freedom = _launch_variance(centers, within, launch_sd)
    error = math.sqrt(sum(float(part.sum()) / len(part) ** 2 + spread / len(part) for part in within))
    means = [float(side.mean()) for side in centers]
    return Comparison(
        log_ratio=means[-1] - (means[0] if len(means) > 1 else 0.0),
        error=error,
        freedom=freedom,
        launches=tuple(len(side) for side in kept),
    )


def center(side: Sequence[Launch]) -> float:
    """The log ratio of all launches together, quiet or not."""
    return float(np.median([ratio for each in side for ratio in each.ratios]))


def _center(samples: Array) -> Array:
    """The trimmed mean of each row."""
    found: Array = stats.trim_mean(samples, TRIM, axis=1)
    return found


def _variance(ratio: Array, generator: np.random.Generator) -> float:
    """The variance of the center of a launch's pairs, by the bootstrap; what it misses with few pairs is made up for."""
    count = len(ratio)
    drawn = ratio[generator.integers(0, count, size=(REPLICATES, count))]
    return float(_center(drawn).var(ddof=1)) * count / (count - 1)


def _launch_variance(centers: Sequence[Array], within: Sequence[Array], launch_sd: float) -> tuple[float, float]:
    """The variance of launches beyond that of their pairs, and its degrees of freedom: what is seen on all sides together, and
    ``launch_sd``, by their weights."""
    seen = sum(len(side) - 1 for side in centers)
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in centers)
    expected = sum(float(part.mean()) * (len(part) - 1) for part in within)
    freedom = seen + LAUNCH_SD_WEIGHT
    return (launch_sd**2 * LAUNCH_SD_WEIGHT + max(squares - expected, 0.0)) / freedom, float(freedom)


def discoveries(p_values: Mapping[str, float], rate: float) -> tuple[frozenset[str], float]:
    """Which of many findings stand when at most ``rate`` of those that do may be wrong (Benjamini and Hochberg, 1995).

    Returns:
        Their names, and the error rate of the intervals that go with them: those of the findings that stand lie beyond the
        margin as a whole (Benjamini and Yekutieli, 2005, doi:10.1198/016214504000001907).
    """
    if not p_values:
        return frozenset(), rate
    ordered = sorted(p_values.items(), key=lambda entry: entry[1])
    count = max((rank for rank, (_, p) in enumerate(ordered, start=1) if p <= rate * rank / len(ordered)), default=0)
    return frozenset(name for name, _ in ordered[:count]), rate * max(count, 1) / len(ordered)
