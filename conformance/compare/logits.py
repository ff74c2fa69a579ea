"""How far two sets of logits are apart."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.record import Check

TOP1_ROUNDED = 0.99
"""Smallest teacher-forced top-1 agreement of a program that rounds with eager PyTorch rounding the same: dtype, weights,
cache."""
TOP1_QUALITY = 0.9
"""Smallest teacher-forced top-1 agreement of a quantized *twin* with its fp32 self; other scales are not judged."""


@dataclass(frozen=True)
class LogitsComparison:
    """Figures over n positions."""

    positions: int
    max_abs_error: float
    relative_error: float
    """Norm of the difference over the norm of the reference."""
    sqnr_db: float
    """Signal-to-quantization-noise ratio: 20 log10 of 1 / ``relative_error``, in decibels; 200 for equal logits."""
    kl_mean: float
    """Mean Kullback-Leibler divergence of the candidate's distribution from the reference's, in nats."""
    kl_p99: float
    top1: float
    """Share of positions with the same best token."""
    top5: float
    """Mean share of the reference's five best tokens that are among the candidate's five best."""
    reference_magnitude: float
    """Largest absolute logit of the reference."""
    error_by_position: list[float | None] = field(default_factory=list)
    """Largest absolute error at each position, to three digits."""

    def metrics(self) -> dict[str, float | int]:
        """The figures of all positions together, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "error_by_position"}


def compare_logits(reference: Tensor, candidate: Tensor) -> LogitsComparison:
    """Compare logits position by position.

    Args:
        reference: [n, vocabulary].
        candidate: [n, vocabulary].

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != candidate.shape or reference.dim() != 2:
        raise ValueError(f"logits have the shapes {tuple(reference.shape)} and {tuple(candidate.shape)}")
    reference, candidate = reference.double(), candidate.double()
    difference = candidate - reference
    relative = float(difference.norm() / reference.norm().clamp_min(1e-30))
    log_reference, log_candidate = reference.log_softmax(-1), candidate.log_softmax(-1)
    divergence = (log_reference.exp() * (log_reference - log_candidate)).sum(-1).clamp_min(0)
    best = min(5, reference.shape[1])
    top_reference, top_candidate = reference.topk(best).indices, candidate.topk(best).indices
    shared = (top_reference[:, :, None] == top_candidate[:, None, :]).any(-1).double().mean()
    return LogitsComparison(
        positions=reference.shape[0],
        max_abs_error=float(difference.abs().max()),
        relative_error=relative,
        sqnr_db=200.0 if relative == 0 else math.nan if math.isnan(relative) else min(200.0, -20 * math.log10(relative)),
        kl_mean=float(divergence.mean()),
        kl_p99=float(torch.quantile(divergence, 0.99)),
        top1=float((top_reference[:, 0] == top_candidate[:, 0]).double().mean()),
        top5=float(shared),
        reference_magnitude=float(reference.abs().max()),
        error_by_position=[float(f"{error:.2e}") for error in difference.abs().amax(-1).tolist()],
    )


def judge_logits(comparison: LogitsComparison, tolerance: Tolerance, *, trained: bool = True) -> Check:
    """The verdict on a program against its baseline: eager PyTorch with the same dtype, quantized weights and cache. A logit
    that is not a number fails.

    Args:
        tolerance: The configuration's.
        trained: Whether the weights mean something. Random ones leave next to no margin between the best tokens, so that
            agreement says nothing about a program that rounds: there the relative error alone is judged.
    """
    if tolerance.relative is None:
        good = comparison.max_abs_error <= MAX_ABS_ERROR
        message = (
            f"max abs logit error {comparison.max_abs_error:.2e} over {comparison.positions} positions "
            f"(at most {MAX_ABS_ERROR:.0e})"
        )
    else:
        good = comparison.relative_error <= tolerance.relative and (comparison.top1 >= TOP1_ROUNDED or not trained)
        judged = f"at least {TOP1_ROUNDED}" if trained else "not judged on random weights"
        message = (
            f"top-1 agreement with the baseline {comparison.top1:.4f} over {comparison.positions} positions ({judged}), "
            f"relative logit error {comparison.relative_error:.2e} (at most {tolerance.relative}), max abs "
            f"{comparison.max_abs_error:.2e}"
        )
    return Check(status="pass" if good else "fail", message=message, metrics=comparison.metrics())


def judge_quality(comparison: LogitsComparison, tokens_equal: float, *, judged: bool) -> Check:
    """What rounding and forgetting cost against fp32; a cost too high fails where it is judged.

    Args:
        tokens_equal: Share of the reference prompts that are answered with the same tokens as in fp32.
        judged: Whether top-1 agreement means something: not on random weights.
    """
    good = math.isfinite(comparison.kl_mean) and (comparison.top1 >= TOP1_QUALITY or not judged)
    limit = f"at least {TOP1_QUALITY}" if judged else "not judged here"
    return Check(
        status="pass" if good else "fail",
        message=f"against fp32: top-1 {comparison.top1:.4f} ({limit}), KL mean {comparison.kl_mean:.2e} nats, "
        f"SQNR {comparison.sqnr_db:.1f} dB, {tokens_equal:.0%} of the prompts answered alike",
        metrics={**comparison.metrics(), "prompts_answered_alike": tokens_equal},
    )
