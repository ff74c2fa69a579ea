"""The task ``feature-extraction``: a text becomes the hidden state of its last token, and a question lies next to its
answer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance import decoder
from conformance.compare.degeneracy import vacuous
from conformance.compare.logits import LogitsComparison, compare_logits
from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.decoder import Answers, Judgement, Reference, Task
from conformance.generate import Generation
from conformance.record import Check, Record
from conformance.sessions.protocol import GenerationSession
from conformance.trail import CellRequest
from zoo.model import Model
from zoo.twins import texts

SIMILARITY = 0.99
"""Smallest cosine of a program's embedding and its baseline's."""
SIMILARITY_FP32 = 0.9
"""Smallest cosine of a *twin's* embedding and the one in fp32; other scales are not judged."""


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    """Questions and the passages that answer them, each ended by the token that ends a text, as the published models have
    it."""

    def ids(text: str) -> tuple[int, ...]:
        return (*tokenizer(text)["input_ids"][: max_seq_len - 1], tokenizer.eos_token_id)

    pairs = texts.pairs(model)
    return Reference(
        prompts=tuple(ids(question) for question, _ in pairs),
        sequences=tuple(ids(passage) for _, passage in pairs),
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


def embeddings(answers: Answers) -> Tensor:
    """[questions and passages, hidden]: the last token's hidden states, of length one."""
    return torch.nn.functional.normalize(torch.stack([states[-1] for states in answers.logits]), dim=-1)


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
        metrics={"similarity": found.similarity, "same": found.same, "right": found.right},
    )


def _judge(judgement: Judgement, record: Record) -> None:
    expected, found = judgement.expected, judgement.found
    states = compare_logits(torch.cat(expected.logits), torch.cat(found.logits))
    record.checks["hidden_states"] = judge_states(states, judgement.tolerance)
    ours = embeddings(found)
    trained = judgement.trained
    retrieval = compare_embeddings(embeddings(expected), ours)
    record.checks["retrieval"] = judge_retrieval(retrieval, least=SIMILARITY, judged=True, trained=trained)
    if judgement.config.reduces:
        judged = trained and judgement.config.attention_sink is None
        against = compare_embeddings(embeddings(judgement.fp32), ours)
        record.checks["quality"] = judge_retrieval(against, least=SIMILARITY_FP32, judged=judged, trained=judged)


TASK = Task(reference=_reference, answers=_answers, vacuous=lambda fp32: vacuous(fp32.logits, None), judge=_judge)
run = functools.partial(decoder.run, TASK)
"""Runs a cell of the task."""
