"""The task ``text-generation``: prompts are continued, and the logits and the greedy tokens must be eager PyTorch's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.degeneracy import vacuous
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tokens import TokenComparison, compare_tokens, judge_tokens
from conformance.compare.tolerance import MAX_ABS_ERROR
from conformance.generate import Generation, generate
from conformance.record import Check, GenerationRecord, Record
from conformance.sessions.eager import EagerSession
from conformance.sessions.protocol import GenerationSession
from conformance.tasks.decoder import Answers, Judgement, Reference, Task, eos_ids
from conformance.trail import CellRequest
from zoo.model import Model

NEW_TOKENS = 32
"""Tokens decoded for each prompt at other scales than ``twin``; a twin decodes until its cache is full."""


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    """The token ids that a twin was trained on; for other checkpoints the prompts and what eager PyTorch answers."""
    path = checkpoint / "reference.json"
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        samples = told["samples"]
        return Reference(
            prompts=tuple(tuple(sample["tokens"][: sample["prompt_length"]]) for sample in samples),
            sequences=tuple(tuple(sample["tokens"]) for sample in samples),
            max_seq_len=max_seq_len,
            taught=True,
            margin=told.get("smallest_margin"),
            new_tokens=max_seq_len,
        )
    session = EagerSession(eager, max_seq_len)
    prompts = tuple(tuple(tokenizer(prompt.text)["input_ids"]) for prompt in model.reference_prompts)
    continuations = (generate(session, prompt, max_new_tokens=NEW_TOKENS, eos_ids=eos_ids(eager)) for prompt in prompts)
    return Reference(
        prompts=prompts,
        sequences=tuple((*said.prompt, *said.tokens) for said in continuations),
        max_seq_len=max_seq_len,
        new_tokens=NEW_TOKENS,
    )


def continue_prompts(
    session: GenerationSession, reference: Reference, eos: frozenset[int], *, guess: bool
) -> tuple[tuple[Generation, ...], tuple[Tensor, ...]]:
    """Greedy continuations, and for each sequence the logits that predict its continuation."""
    generations, logits = [], []
    for index, (prompt, sequence) in enumerate(zip(reference.prompts, reference.sequences, strict=True)):
        reference.about(session, index)
        room = min(reference.new_tokens, reference.max_seq_len - len(prompt))
        known = sequence[len(prompt) :] if guess else ()
        generations.append(generate(session, prompt, max_new_tokens=room, eos_ids=eos, guess=known))
        session.reset()  # what the sequence is about stays
        logits.append(session.forward(torch.tensor([sequence]), 0)[len(prompt) - 1 : -1].clone())
    return tuple(generations), tuple(logits)


def judge(judgement: Judgement, record: Record) -> None:
    expected, found, limits = judgement.expected, judgement.found, judgement.tolerance
    logits = compare_logits(torch.cat(expected.logits), torch.cat(found.logits))
    tie = 2 * (MAX_ABS_ERROR if limits.exact else logits.max_abs_error)
    tokens = [
        compare_tokens(first, second, tie=tie) for first, second in zip(expected.generations, found.generations, strict=True)
    ]
    record.checks["logits"] = judge_logits(logits, limits, trained=judgement.trained)
    record.error_by_position = logits.error_by_position
    record.checks["tokens"] = judge_tokens(tokens, against="the baseline" if judgement.config.reduces else "eager")
    if judgement.config.reduces:
        # An attention sink and local attention forget on purpose: what that costs is told, and no fault.
        judged = judgement.trained and not judgement.config.forgets
        record.checks["quality"] = _quality(judgement.fp32, found, judged=judged)
    record.generations = _generations(judgement, tokens)


def _quality(fp32: Answers, found: Answers, *, judged: bool) -> Check:
    alike = [first.tokens == second.tokens for first, second in zip(fp32.generations, found.generations, strict=True)]
    comparison = compare_logits(torch.cat(fp32.logits), torch.cat(found.logits))
    return judge_quality(comparison, sum(alike) / len(alike), judged=judged)


def _generations(judgement: Judgement, tokens: list[TokenComparison]) -> list[GenerationRecord]:
    return [
        GenerationRecord(
            prompt=prompt.text,
            prompt_tokens=len(said.prompt),
            reference=list(wanted.tokens),
            tokens=list(said.tokens),
            text=judgement.tokenizer.decode(said.tokens, skip_special_tokens=True),
            stop=said.stop,
            smallest_margin=min(said.margins),
            diverged_at=comparison.diverged_at,
            **({} if comparison.diverged_at is None else _pieces(judgement.tokenizer, wanted, said)),
        )
        for prompt, wanted, said, comparison in zip(
            judgement.model.reference_prompts,
            judgement.expected.generations,
            judgement.found.generations,
            tokens,
            strict=True,
        )
    ]


def _pieces(tokenizer: Any, wanted: Generation, said: Generation) -> dict[str, list[str]]:
    """Both texts token by token, as a reader of a divergence needs them."""
    return {
        name: [tokenizer.decode([token]) for token in generation.tokens]
        for name, generation in (("reference_pieces", wanted), ("pieces", said))
    }


TASK = Task(
    reference=_reference,
    answers=continue_prompts,
    vacuous=lambda fp32: vacuous(fp32.logits, fp32.generations),
    judge=judge,
)
