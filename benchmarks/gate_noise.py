"""Launches that are made up, of which there is no end: noise of several shapes, and what the gate says of it.

Launches of the gate's experiment are real, and few. Here every gating gets launches of its own, so that false alarms can be
counted that are independent of each other; how like a machine the noise is, the experiment has to say.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance import gate
from conformance.statistics import Launch

PHASE = "decode"
Timed = Mapping[str, Launch]
"""A launch, by phase."""


@dataclass(frozen=True)
class Noise:
    """Launches that follow each other, of a program that takes 1/e of the time of eager PyTorch."""

    says: str = ""
    sd: float = 0.025
    """Standard deviation of log ratios, but for busy times."""
    freedom: float = 6
    """Of Student's t, which they are distributed as: the fewer, the heavier the tails."""
    resemblance: float = 0.0
    """Correlation of a launch with the one before."""
    drift: float = 0.0
    """How far the ratio moves in the course of 24 launches, at most, in either direction."""
    busy: float = 0.09
    """Share of launches that fall into a busy time as a whole."""
    stretch: float = 1.0
    """Launches that a busy time lasts, on average."""
    shift: float = 0.15
    """How far the ratio is off in a busy time, in either direction. Every other busy time shows in the reference, too."""
    cells: int = 1
    """Cells that are gated at once."""
    worse: bool = False
    """Whether it is worse than any that was measured."""

    def series(self, generator: np.random.Generator, slower: float = 0.0) -> Iterator[Launch]:
        """Launches without end, of a program that takes ``slower`` (0.1: 10 %) longer."""
        scale = self.sd * math.sqrt((self.freedom - 2) / self.freedom)
        begins, ends = self.busy / (1 - self.busy) / self.stretch, 1 / self.stretch
        step = generator.uniform(-self.drift, self.drift) / gate.MOST_LAUNCHES
        effect, off, reference = scale * generator.standard_t(self.freedom), 0.0, 1.0
        busy = generator.random() < self.busy
        for index in itertools.count():
            if busy and not off:
                off, reference = self.shift * generator.choice([-1, 1]), 1.3 if generator.random() < 0.5 else 1.0
            elif not busy:
                off, reference = 0.0, 1.0
            yield Launch(-1 + effect + off + index * step + math.log1p(slower), reference)
            fresh = scale * generator.standard_t(self.freedom)
            effect = self.resemblance * effect + math.sqrt(1 - self.resemblance**2) * fresh
            busy = generator.random() >= ends if busy else generator.random() < begins

    def launches(self, generator: np.random.Generator, count: int, slower: float = 0.0) -> list[Launch]:
        """The first ``count`` of a series."""
        return list(itertools.islice(self.series(generator, slower), count))

    def gatings(self, count: int, slower: float, seed: int, baseline: int = 12) -> collections.Counter[str]:
        """How ``count`` gatings end, each with new launches: of a baseline, and of a run of its own time and place."""
        generator = np.random.default_rng(seed)
        ends: collections.Counter[str] = collections.Counter()
        for _ in range(count):
            before = [[{PHASE: each} for each in self.launches(generator, baseline)] for _ in range(self.cells)]
            after = [({PHASE: each} for each in self.series(generator, slower)) for _ in range(self.cells)]
            ends[ended(before, after)] += 1
        return ends


MEASURED = Noise(
    "a standard deviation of 2.5 %, Student's t with 6 degrees of freedom; one launch in eleven off by 15 % in a busy moment"
)
NOISES: Mapping[str, Noise] = {
    "as measured": MEASURED,
    "ten cells at once": Noise("the same; a gating is of ten cells, and any of them is an alarm", cells=10),
    "heavy tails": Noise("5 %, and 2.5 degrees of freedom", sd=0.05, freedom=2.5),
    "alike in a row": Noise("each launch correlated by 0.4 with the one before", resemblance=0.4),
    "drift": Noise("up to 5 % in 24 launches, in the baseline and in the run", drift=0.05),
    "loud": Noise("8 %, and three launches of ten off by 15 %", sd=0.08, busy=0.3, worse=True),
    "long busy times": Noise(
        "three launches of ten off by 15 %, four in a row on average and in the same direction",
        busy=0.3,
        stretch=4.0,
        worse=True,
    ),
}
"""As measured: docs/gate.md. Correlations of up to 0.39 between launches were seen in reports/gate-experiment.json (0.16 of
neighbours)."""


def ended(before: Sequence[Sequence[Timed]], after: Sequence[Iterator[Timed]]) -> str:
    """How the gate's decision about cells ends: ``slower`` or ``faster`` if it says so of any phase of any of them, else
    ``inconclusive`` or ``same``.

    Args:
        before: The launches of each cell's baseline.
        after: Those of the run, which are taken as the gate asks for them.
    """
    names = [str(index) for index in range(len(before))]
    timings = {}
    for name, launches, run in zip(names, before, after, strict=True):
        first = next(run)
        timings |= {(name, phase): ([each[phase] for each in launches], [first[phase]]) for phase in first}
    runs = dict(zip(names, after, strict=True))
    kinds = {each.kind for each in gate.settle(timings, lambda name: next(runs[name]))[0].values()}
    return next(kind for kind in ("slower", "faster", "inconclusive", "same") if kind in kinds)


def drawn(
    launches: Sequence[Timed], later: Sequence[Timed], count: int, seed: int, baseline: int = 12
) -> collections.Counter[str]:
    """How gatings end whose launches are drawn at random, one by one: those of the baseline from ``launches``, those of the run
    from ``later``."""
    generator = np.random.default_rng(seed)
    ends: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        before = [launches[index] for index in generator.integers(len(launches), size=baseline)]
        ends[ended([before], [(later[int(generator.integers(len(later)))] for _ in itertools.count())])] += 1
    return ends
