"""Statistics of paired measurements: how much slower one thing is than another, and how sure that is.

Two sessions are timed in turns in one process, a **launch**. What a launch says is the logarithm of the ratio of the fastest
step of either: other work on the machine only ever adds time, and to eager PyTorch more than to a program, so that medians and
means of ratios move with it; what is left in the quietest moments does not. ``docs/gate.md`` has what that was chosen from.

The fastest steps of one launch have in common where its memory lies, and now and then the whole of a launch falls into a busy
time. So launches are what is sampled. Those in which the reference was slow are put aside, which cannot hide a slow program;
the means of the others are trimmed, and how far they are apart is estimated together with ``LAUNCH_SD``, because a few of them
can be alike by chance.
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
"""A launch is quiet if the fastest step of its reference took at most so many times as long as in the fastest launch of its
side."""
TRIM = 0.25
"""Share of a side's quiet launches that is left out at either end before the mean is taken."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Launch:
    """One process."""

    ratio: float
    """Logarithm of the fastest time over that of the reference."""
    reference: float
    """The fastest time of the reference, in seconds."""


def launch(reference: Sequence[float], times: Sequence[float]) -> Launch:
    """The launch in which two sessions took so many seconds in each block.

    Raises:
        ValueError: there is no block.
    """
    return Launch(math.log(min(times) / min(reference)), min(reference))


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
    """Quiet launches, of either side."""

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


def compare(*sides: Sequence[Launch], launch_sd: float = LAUNCH_SD) -> Comparison | None:
    """Compare launches now with launches before; or, given one side, times with their reference. ``None`` if a side has none.

    The difference of trimmed means, with the error of Yuen (1974, doi:10.1093/biomet/61.1.165) from the Winsorized variances.

    Args:
        sides: ``before, after``: the ratio of times over reference, after against before; or one side.
        launch_sd: What the standard deviation of launches is taken for before any is seen.
    """
    if not all(sides):
        return None
    ratios = [_quiet(side) for side in sides]
    kept = [len(side) - 2 * int(TRIM * len(side)) for side in ratios]
    squares = sum(_winsorized_squares(side) for side in ratios)
    freedom = sum(count - 1 for count in kept) + LAUNCH_SD_WEIGHT
    variance = (squares + launch_sd**2 * LAUNCH_SD_WEIGHT) / freedom
    means = [float(stats.trim_mean(side, TRIM)) for side in ratios]
    return Comparison(
        log_ratio=means[-1] - (means[0] if len(means) > 1 else 0.0),
        error=math.sqrt(variance * sum(1 / count for count in kept)),
        freedom=float(freedom),
        launches=tuple(map(len, ratios)),
    )


def center(side: Sequence[Launch]) -> float:
    """The trimmed mean of the quiet launches."""
    return float(stats.trim_mean(_quiet(side), TRIM))


def _quiet(side: Sequence[Launch]) -> Array:
    """The ratios of the quiet launches, in order."""
    limit = QUIET * min(each.reference for each in side)
    return np.sort([each.ratio for each in side if each.reference <= limit])


def _winsorized_squares(ordered: Array) -> float:
    """The sum of squared differences from the mean, where what is trimmed counts as the nearest that is kept."""
    cut = int(TRIM * len(ordered))
    winsorized = ordered.clip(ordered[cut], ordered[len(ordered) - 1 - cut])
    return float(((winsorized - winsorized.mean()) ** 2).sum())


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
