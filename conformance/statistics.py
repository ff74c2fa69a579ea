"""Statistics of paired measurements: how much slower one thing is than another, and how sure that is.

Two sessions are timed in turns, block by block. What is said about them is the logarithm of the ratio of their times in each
block: whatever slows the machine down for a while slows both, and drops out. A **launch** is one process; its blocks have in
common where memory lies and how threads were placed, which differs from process to process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LAUNCH_SD = 0.01
"""Standard deviation of a launch's mean log ratio around that of all launches, where there is one launch and it cannot be
estimated. ``docs/gate.md`` has the measurement."""


@dataclass(frozen=True)
class Interval:
    """A ratio of times with its confidence interval: 1.10 is 10 % slower."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio - 1:+.1%} ({self.low - 1:+.1%} to {self.high - 1:+.1%})"


def log_ratios(times: Sequence[float], reference: Sequence[float]) -> NDArray[np.float64]:
    """Logarithms of ``times`` over ``reference``, block by block; above 0 where it is slower."""
    found: NDArray[np.float64] = np.log(np.asarray(times, dtype=float)) - np.log(np.asarray(reference, dtype=float))
    return found


def change(before: Sequence[float], after: Sequence[float], *, confidence: float = 0.99) -> Interval:
    """How the ratio of times changed between two records of one launch each.

    Args:
        before: Log ratios of the blocks.
        after: Likewise; the blocks of the two are not pairs.
        confidence: Of the interval (Welch's, with ``LAUNCH_SD`` of either launch added).
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    variances = [side.var(ddof=1) / len(side) if len(side) > 1 else LAUNCH_SD**2 for side in (first, second)]
    error = math.sqrt(sum(variances) + 2 * LAUNCH_SD**2)
    center = float(np.median(second) - np.median(first))
    reach = error * float(stats.t.ppf((1 + confidence) / 2, df=max(min(len(first), len(second)) - 1, 1)))
    return Interval(math.exp(center), math.exp(center - reach), math.exp(center + reach))
