"""Greedy token ids, compared one by one; a divergence is told apart from a near-tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from conformance.generate import Generation
from conformance.record import Check

LARGEST_TIE = 0.25
"""Margin above which no logit error makes a choice a toss-up, in logits; half of what a twin must have."""


@dataclass(frozen=True)
class TokenComparison:
    """Where two generations part, if they do."""

    equal: bool
    diverged_at: int | None
    """Index of the first generated token that differs."""
    reference_margin: float | None
    """Top-2 margin of the reference there, in logits."""
    candidate_margin: float | None
    near_tie: bool
    """Both margins are within ``tie``: the two were choosing between equals."""


def compare_tokens(reference: Generation, candidate: Generation, *, tie: float) -> TokenComparison:
    """Compare two generations of one prompt.

    Args:
        tie: Margin up to which a choice is a toss-up, in logits: twice the cell's logit error, since both candidates may be
            off by it. It counts up to ``LARGEST_TIE``.
    """
    for index, (first, second) in enumerate(zip(reference.tokens, candidate.tokens, strict=False)):
        if first != second:
            margins = reference.margins[index], candidate.margins[index]
            return TokenComparison(False, index, *margins, near_tie=all(margin <= min(tie, LARGEST_TIE) for margin in margins))
    if len(reference.tokens) != len(candidate.tokens):
        return TokenComparison(False, min(len(reference.tokens), len(candidate.tokens)), None, None, near_tie=False)
    return TokenComparison(True, None, None, None, near_tie=False)


def judge_tokens(comparisons: Sequence[TokenComparison], *, against: str) -> Check:
    """The verdict over all reference prompts: near-ties are named, real divergences fail."""
    equal = sum(comparison.equal for comparison in comparisons)
    ties = [index for index, comparison in enumerate(comparisons) if comparison.near_tie]
    real = [index for index, comparison in enumerate(comparisons) if not comparison.equal and not comparison.near_tie]
    parts = [f"{equal} of {len(comparisons)} prompts answered with the tokens of {against}"]
    for index in ties:
        parts.append(f"prompt {index}: near-tie at token {comparisons[index].diverged_at}")
    for index in real:
        found = comparisons[index]
        parts.append(
            f"prompt {index} diverges at token {found.diverged_at} (margins: {against} {_logits(found.reference_margin)}, "
            f"program {_logits(found.candidate_margin)})"
        )
    return Check(
        status="fail" if real else "pass",
        message="; ".join(parts),
        metrics={"equal": equal, "prompts": len(comparisons), "comparisons": [asdict(found) for found in comparisons]},
    )


def _logits(margin: float | None) -> str:
    return "none, it ended" if margin is None else f"{margin:.3f}"
