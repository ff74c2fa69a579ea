"""What a decoder reads: whatever the length and the padding of its source, it answers as eager PyTorch does, and nothing of an
earlier source is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.record import Check
from conformance.sessions.protocol import ConditionedSession, GenerationSession, SessionError


@dataclass(frozen=True)
class Probe:
    """A source to be read."""

    name: str
    inputs: Mapping[str, Tensor]
    """As ``ConditionedSession.condition`` takes them."""


def check_source(
    session: GenerationSession,
    baseline: GenerationSession,
    probes: Sequence[Probe],
    refused: Sequence[Mapping[str, Tensor]],
    tokens: Tensor,
    tolerance: Tolerance,
) -> Check:
    """Let both sessions read sources and write the same tokens about each.

    Args:
        session: The program's.
        baseline: Eager PyTorch's, which rounds as the program does.
        probes: The sources. The first is read again after each other one, and must be answered exactly as before.
        refused: Sources that the program must refuse.
        tokens: [1, n] token ids that are written.
        tolerance: The configuration's.
    """
    program, eager = cast(ConditionedSession, session), cast(ConditionedSession, baseline)
    wrong: list[str] = []
    worst: dict[str, float] = {}
    answers: list[Tensor] = []
    for probe in probes:
        expected, found = _answer(eager, probe, tokens), _answer(program, probe, tokens)
        answers.append(found)
        wrong += _differs(probe.name, expected, found, tolerance, worst)
        again = _answer(program, probes[0], tokens)
        if not bool((again == answers[0]).all()):
            error = float((again - answers[0]).abs().max())
            wrong.append(f"{probes[0].name} after {probe.name} is answered otherwise than before, by {error:.2e}")
    if all(float((answers[0] - other).abs().max()) < MAX_ABS_ERROR for other in answers[1:]):
        wrong.append("every source is answered alike")
    for inputs in refused:
        shapes = ", ".join(str(tuple(value.shape)) for value in inputs.values())
        try:
            program.condition(inputs)
        except SessionError:
            continue
        wrong.append(f"a source of the shape {shapes} was accepted")
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong) or f"{len(probes)} sources are answered as by the baseline, {_told(tolerance, worst)}",
        metrics={"sources": [probe.name for probe in probes], "worst": worst},
    )


def _answer(session: ConditionedSession, probe: Probe, tokens: Tensor) -> Tensor:
    session.condition(probe.inputs)
    return session.forward(tokens, 0).clone()


def _differs(name: str, expected: Tensor, found: Tensor, tolerance: Tolerance, worst: dict[str, float]) -> list[str]:
    """What is wrong with an answer, position by position; its worst error is noted."""
    difference = (found - expected).double()
    if tolerance.relative is None:
        errors, limit = difference.abs().amax(1), MAX_ABS_ERROR
    else:
        errors = difference.norm(dim=1) / expected.double().norm(dim=1).clamp_min(1e-30)
        limit = tolerance.relative
    worst[name] = float(errors.max())
    over = ~(errors <= limit)  # not a number is over
    if not bool(over.any()):
        return []
    return [f"{name}: error {worst[name]:.2e} (at most {limit:.0e}), first at position {int(over.nonzero()[0])}"]


def _told(tolerance: Tolerance, worst: Mapping[str, float]) -> str:
    kind, limit = ("max abs", MAX_ABS_ERROR) if tolerance.relative is None else ("relative", tolerance.relative)
    return f"{kind} error {max(worst.values()):.2e} (at most {limit:.0e})"
