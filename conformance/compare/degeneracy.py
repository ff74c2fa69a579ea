"""Is the comparison worth anything: a reference that says nothing agrees with everything."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from conformance.generate import Generation
from conformance.record import Check

SMALLEST_MAGNITUDE = 1e-2
SMALLEST_CHANGE = 1e-3
DISTINCT_TOKENS = 4
SAME_MARGIN = 1e-3
"""Difference of a twin's smallest margin from that at the end of its training, in logits, that is none: the same operations,
perhaps added up in another order. Measured over all twins: 2.4e-6 at most."""


def vacuous(logits: Sequence[Tensor], generations: Sequence[Generation] | None) -> str | None:
    """Why the baseline proves nothing; ``None`` if it does prove something.

    Args:
        logits: The baseline's teacher-forced logits of different inputs, each [n, vocabulary].
        generations: What it said to different prompts; ``None`` where the task is not to say anything.
    """
    if not all(bool(values.isfinite().all()) for values in logits):
        return "the baseline's logits are not all finite"
    magnitude = max(float(values.abs().max()) for values in logits)
    if not magnitude >= SMALLEST_MAGNITUDE:
        return f"the baseline's largest logit is {magnitude:.1e}"
    first, *others = (values[-1] for values in logits)
    if not others or max(float((first - other).abs().max()) for other in others) < SMALLEST_CHANGE:
        return "the baseline's logits do not depend on its input"
    if generations is None:
        return None
    distinct = max(len(set(generation.tokens)) for generation in generations)
    if distinct < DISTINCT_TOKENS:
        return f"the baseline repeats {distinct} distinct tokens, {DISTINCT_TOKENS} are needed"
    return None


def untaught(
    taught: Sequence[Sequence[int]],
    said: Sequence[Sequence[int]],
    *,
    logits: Sequence[Tensor] = (),
    margin: float | None = None,
) -> str | None:
    """Why the baseline proves nothing: eager PyTorch does not answer what the checkpoint was trained to. Then something is
    wrong before there is a program: the checkpoint, what it is fed, or the eager session. ``None`` if it does answer that.

    What a model is fed may be a little wrong and the answers still right, of sounds and images most of all: so they must be as
    certain as they were when its training ended.

    Args:
        taught: For each reference the tokens or classes that it was trained to answer.
        said: What it answers.
        logits: The logits of the answers, each [n, vocabulary].
        margin: The smallest distance of the best logit from the next when training ended; ``None`` if that is not known.
    """
    for number, (right, answer) in enumerate(zip(taught, said, strict=True), start=1):
        pairs = enumerate(itertools.zip_longest(right, answer), start=1)
        parted = next((at for at, (wanted, found) in pairs if wanted != found), None)
        if parted is not None:
            return f"eager PyTorch does not answer reference {number} as it was trained to: answer {parted} is another"
    if margin is None:
        return None
    best = torch.cat(list(logits)).topk(2).values
    found = float((best[:, 0] - best[:, 1]).min())
    if not abs(found - margin) <= SAME_MARGIN:
        return (
            "eager PyTorch answers what it was trained to, but not as certainly: its smallest margin is "
            f"{found:.3f}, and was {margin:.3f} when training ended"
        )
    return None


def check_baseline(why_not: str | None) -> Check:
    """The verdict on the baseline.

    Args:
        why_not: Why it proves nothing; ``None`` if it does prove something.
    """
    if why_not is not None:
        return Check(status="inconclusive", message=why_not)
    return Check(status="pass", message="eager PyTorch answers what it is asked, and of a twin what it was trained to")
