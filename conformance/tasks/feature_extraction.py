"""The task ``feature-extraction``: a text becomes one vector, of a decoder the hidden state of its last token, of an encoder
the mean over its tokens; and a question lies next to its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.degeneracy import vacuous
from conformance.compare.logits import LogitsComparison, compare_logits
from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.generate import Generation
from conformance.record import Check, Record
from conformance.sessions.protocol import GenerationSession
from conformance.tasks import one_pass
from conformance.tasks.decoder import Judgement, Reference, Task
from conformance.tasks.fill_mask import longest, text_inputs, text_signature
from conformance.tasks.one_pass import Examples
from conformance.trail import CellRequest
from exporters.config import ExportConfig
from zoo.model import Model
from zoo.twins import texts

SIMILARITY = 0.99
"""Smallest cosine of a program's embedding and its baseline's."""
SIMILARITY_FP32 = 0.9
"""Smallest cosine of a *twin's* embedding and the one in fp32; other scales are not judged."""


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    """Questions and the passages that answer them."""
    questions, passages = zip(*texts.embedded(model, tokenizer, max_seq_len), strict=True)
    return Reference(
        prompts=tuple(tuple(ids) for ids in questions),
        sequences=tuple(tuple(ids) for ids in passages),
        max_seq_len=max_seq_len,
    )


def _answers(
    session: GenerationSession, reference: Reference, eos: frozenset[int], *, guess: bool
) -> tuple[tuple[Generation, ...], tuple[Tensor, ...]]:
    """Nothing said, and the hidden states of every question, then of every passage."""
    states = []
    for sequence in (*reference.prompts, *reference.sequences):
        session.reset()
        states.append(session.forward(torch.tensor([sequence]), 0).clone())
    return (), tuple(states)


def embeddings(states: Sequence[Tensor], pooling: str) -> Tensor:
    """[questions and passages, hidden], of length one.

    Args:
        states: Hidden states of each text: [n, hidden].
        pooling: ``mean`` over the tokens, or the ``last`` one's.
    """
    pooled = [each.mean(0) if pooling == texts.MEAN else each[-1] for each in states]
    return torch.nn.functional.normalize(torch.stack(pooled), dim=-1)


@dataclass(frozen=True)
class Retrieval:
    """How embeddings agree."""

    similarity: float
    """The smallest cosine of an embedding and its counterpart."""
    same: float
    """Share of the questions whose nearest passage is the counterpart's."""
    right: float
    """Share of the questions whose nearest passage is the one that answers them."""


def compare_embeddings(expected: Tensor, found: Tensor) -> Retrieval:
    """Compare embeddings [2n, hidden]: n questions, then the n passages that answer them."""
    count = len(expected) // 2
    nearest = [(each[:count] @ each[count:].T).argmax(-1) for each in (expected, found)]
    return Retrieval(
        similarity=float((expected * found).sum(-1).min()),
        same=float((nearest[0] == nearest[1]).double().mean()),
        right=float((nearest[1] == torch.arange(count)).double().mean()),
    )


def judge_states(comparison: LogitsComparison, limits: Tolerance) -> Check:
    """The verdict on hidden states against the baseline's; one that is not a number fails."""
    if limits.relative is None:
        good, limit = comparison.max_abs_error <= MAX_ABS_ERROR, f"at most {MAX_ABS_ERROR:.0e}"
        message = f"max abs error {comparison.max_abs_error:.2e} over {comparison.positions} positions ({limit})"
    else:
        good, limit = comparison.relative_error <= limits.relative, f"at most {limits.relative}"
        message = f"relative error {comparison.relative_error:.2e} over {comparison.positions} positions ({limit})"
    return Check(status="pass" if good else "fail", message=message, metrics=comparison.metrics())


def judge_retrieval(found: Retrieval, *, least: float, judged: bool, trained: bool) -> Check:
    """The verdict on embeddings: close to their counterparts, and each question finds its passage.

    Args:
        least: Smallest similarity.
        judged: Whether the similarity is judged; otherwise it is told.
        trained: Whether the weights mean something; otherwise the nearest passage is not judged.
    """
    good = (found.similarity >= least or not judged) and (not trained or (found.same == 1 and found.right == 1))
    limit = f"at least {least}" if judged else "not judged here"
    return Check(
        status="pass" if good else "fail",
        message=f"smallest cosine {found.similarity:.5f} ({limit}), {found.same:.0%} of the questions find the same passage, "
        f"{found.right:.0%} the right one",
        metrics={"cosine": found.similarity, "same": found.same, "right": found.right},
    )


def _judge(judgement: Judgement, record: Record) -> None:
    answers = judgement.expected.logits, judgement.found.logits, judgement.fp32.logits
    judged = judgement.trained and not judgement.config.forgets
    _judge_all(*answers, texts.LAST, judgement.config, judgement.tolerance, record, trained=judgement.trained, judged=judged)


def _judge_all(
    expected: Sequence[Tensor],
    found: Sequence[Tensor],
    fp32: Sequence[Tensor],
    pooling: str,
    config: ExportConfig,
    limits: Tolerance,
    record: Record,
    *,
    trained: bool,
    judged: bool,
) -> None:
    states = compare_logits(torch.cat(list(expected)), torch.cat(list(found)))
    record.checks["hidden_states"] = judge_states(states, limits)
    record.error_by_position = states.error_by_position
    theirs, ours, exact = (embeddings(states, pooling) for states in (expected, found, fp32))
    retrieval = compare_embeddings(theirs, ours)
    record.checks["retrieval"] = judge_retrieval(retrieval, least=SIMILARITY, judged=True, trained=trained)
    if config.reduces:
        against = compare_embeddings(exact, ours)
        record.checks["quality"] = judge_retrieval(against, least=SIMILARITY_FP32, judged=judged, trained=judged)


def _examples(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> Examples:
    """Questions, then the passages that answer them."""
    from transformers import AutoTokenizer

    coder = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
    length = longest(model, request, checkpoint, eager)
    questions, passages = zip(*texts.embedded(model, coder, length), strict=True)
    inputs = tuple(text_inputs(ids) for ids in (*questions, *passages))
    return Examples(inputs=inputs, targets=(None,) * len(inputs), max_seq_len=length)


def _judge_encoder(judgement: one_pass.Judgement, record: Record) -> None:
    answers = judgement.expected, judgement.found, judgement.fp32
    trained = judgement.trained
    _judge_all(*answers, texts.MEAN, judgement.config, judgement.tolerance, record, trained=trained, judged=trained)


TASK = Task(reference=_reference, answers=_answers, vacuous=lambda fp32: vacuous(fp32.logits, None), judge=_judge)
"""Of decoders."""
ENCODER = one_pass.Task(
    examples=_examples,
    signature=lambda configuration, artifact: text_signature(configuration, artifact, configuration.hidden_size),
    vacuous=lambda examples, answers: vacuous(answers, None),
    judge=_judge_encoder,
)
