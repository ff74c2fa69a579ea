"""Is the comparison worth anything: a reference that says nothing agrees with everything."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from conformance.generate import Generation

SMALLEST_MAGNITUDE = 1e-2
SMALLEST_CHANGE = 1e-3
DISTINCT_TOKENS = 4


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
