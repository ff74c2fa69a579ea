"""Which interval keeps its word with few launches: ``python -m benchmarks.gate_intervals`` prints the table of docs/gate.md.

Launches are drawn whose means differ by a known standard deviation, each with eight pairs; nothing is slower. An interval at
95 % should leave the truth out in 5 of 100. A minute; nothing is measured.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy import stats

from conformance import statistics

REPETITIONS = 300
PAIR_SD = 0.05
PAIRS = 8
LEVEL = 0.95
RESAMPLES = 499


def drawn(generator: np.random.Generator, launches: int, launch_sd: float) -> np.ndarray:
    """[launches, pairs] log ratios."""
    effects = launch_sd * generator.standard_t(6, size=(launches, 1)) / math.sqrt(1.5)
    return effects + PAIR_SD * generator.standard_normal((launches, PAIRS))


def hierarchical(sides: list[np.ndarray], generator: np.random.Generator) -> tuple[float, float]:
    """Percentiles over launches drawn again and, in each, pairs drawn again."""
    means = []
    for side in sides:
        launches = generator.integers(0, len(side), (RESAMPLES, len(side)))
        pairs = generator.integers(0, PAIRS, (RESAMPLES, len(side), PAIRS))
        means.append(side[launches[..., None], pairs].mean(axis=(1, 2)))
    low, high = np.quantile(means[1] - means[0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return low, high


def scipys(sides: list[np.ndarray], generator: np.random.Generator, method: str) -> tuple[float, float]:
    """scipy's bootstrap over the launches' means."""
    found = stats.bootstrap(
        [side.mean(axis=1) for side in sides],
        lambda first, second, axis: second.mean(axis=axis) - first.mean(axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method=method,
        rng=generator,
    )
    return found.confidence_interval.low, found.confidence_interval.high


def ours(sides: list[np.ndarray]) -> tuple[float, float]:
    """``statistics.compare``."""
    found = statistics.compare(*([statistics.Launch(tuple(row), (1.0,) * PAIRS) for row in side] for side in sides))
    assert isinstance(found, statistics.Comparison)
    interval = found.interval((1 - LEVEL) / 2)
    return math.log(interval.low), math.log(interval.high)


def main() -> None:
    warnings.simplefilter("ignore", stats.DegenerateDataWarning)
    generator = np.random.default_rng(0)
    print("| launches | apart by | percentile of launches and pairs | percentile of launches | BCa of launches | this one |")
    print("| --- | --- | --- | --- | --- | --- |")
    for counts in ((1, 1), (2, 2), (4, 4), (8, 8)):
        for launch_sd in (0.01, 0.02, 0.04):
            missed = np.zeros(4)
            for _ in range(REPETITIONS):
                sides = [drawn(generator, count, launch_sd) for count in counts]
                several = min(counts) > 1
                intervals = [
                    hierarchical(sides, generator),
                    scipys(sides, generator, "percentile") if several else (math.nan, math.nan),
                    scipys(sides, generator, "BCa") if several else (math.nan, math.nan),
                    ours(sides),
                ]
                missed += [math.nan if math.isnan(low + high) else not low <= 0 <= high for low, high in intervals]
            cells = ["–" if math.isnan(count) else f"{count / REPETITIONS:.1%}" for count in missed]
            print(f"| {counts[0]}, {counts[1]} | {launch_sd:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
