"""The task ``fill-mask``: texts with masked tokens, and the logits there and the best token must be eager PyTorch's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.contract import LONG, SCALAR_TYPES, MethodSignature, Signature, text_constants
from conformance.compare.degeneracy import untaught, vacuous
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tolerance import MAX_ABS_ERROR
from conformance.record import Check, Record
from conformance.tasks.one_pass import Examples, Judgement, Task
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from exporters.wrappers.masked_lm import context
from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import texts

DEFAULT_MAX_SEQ_LEN = 128
"""Longest text of cells at other scales than ``twin``, in tokens."""
MASK_EVERY = 6


def text_inputs(tokens: list[int]) -> dict[str, Tensor]:
    """What an encoder is fed for one text without padding."""
    ids = torch.tensor([tokens])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def longest(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> int:
    """Tokens of the longest text: what a twin was trained on, or what was asked for.

    Raises:
        ZooError: a twin's was asked for, or one beyond the model's context.
    """
    if (checkpoint / "reference.json").is_file():
        if request.max_seq_len is not None:
            raise ZooError(f"{checkpoint} is a twin: its length is the {model.twin.max_seq_len} it was trained on.")
        return model.twin.max_seq_len
    room = context(eager) or DEFAULT_MAX_SEQ_LEN
    length = request.max_seq_len or min(DEFAULT_MAX_SEQ_LEN, room)
    if length > room:
        raise ZooError(f"max_seq_len {length} exceeds the model's context of {room}; use at most {room}.")
    return length


def _examples(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> Examples:
    """The masked texts that a twin was trained on; for other checkpoints the reference texts, masked here."""
    from transformers import AutoTokenizer

    length = longest(model, request, checkpoint, eager)
    path = checkpoint / "reference.json"
    samples: list[tuple[list[int], list[list[int]]]] = []
    margin: float | None = None
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        margin = told.get("smallest_margin")
        samples = [(sample["tokens"], sample["targets"]) for sample in told["samples"]]
    else:
        coder = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
        for prompt, answer in texts.pairs(model):
            tokens = coder(f"{prompt} {answer}", truncation=True, max_length=length)["input_ids"]
            masked = range(MASK_EVERY // 2, len(tokens) - 1, MASK_EVERY)
            targets = [[index, tokens[index]] for index in masked]
            samples.append(([coder.mask_token_id if index in masked else token for index, token in enumerate(tokens)], targets))
    return Examples(
        inputs=tuple(text_inputs(tokens) for tokens, _ in samples),
        targets=tuple(tuple(map(tuple, targets)) for _, targets in samples),
        max_seq_len=length,
        taught=path.is_file(),
        margin=margin,
    )


def text_signature(configuration: Any, artifact: Artifact, width: int) -> Signature:
    """Ids and mask in, ``width`` numbers for each token out."""
    length = artifact.account.max_seq_len or 0
    tokens = ((1, length), LONG)
    return Signature(
        constants=text_constants(configuration, artifact),
        methods={"forward": MethodSignature((tokens, tokens), ((1, length, width),), SCALAR_TYPES[artifact.config.dtype])},
    )


def _signature(configuration: Any, artifact: Artifact) -> Signature:
    return text_signature(configuration, artifact, configuration.get_text_config().vocab_size)


def _masked(examples: Examples, answers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """For each text the logits of its masked tokens: [masked, vocabulary]."""
    return tuple(
        answer[[position for position, _ in targets]] for answer, targets in zip(answers, examples.targets, strict=True)
    )


def _proves_nothing(examples: Examples, answers: tuple[Tensor, ...]) -> str | None:
    logits = _masked(examples, answers)
    targets = [[target for _, target in targets] for targets in examples.targets]
    said = [each.argmax(-1).tolist() for each in logits]
    if examples.taught:
        return vacuous(logits, None) or untaught(targets, said, logits=logits, margin=examples.margin)
    return vacuous(logits, None)


def _judge(judgement: Judgement, record: Record) -> None:
    expected, found, fp32 = (
        torch.cat(_masked(judgement.examples, answers)) for answers in (judgement.expected, judgement.found, judgement.fp32)
    )
    comparison = compare_logits(expected, found)
    record.checks["logits"] = judge_logits(comparison, judgement.tolerance, trained=judgement.trained)
    record.error_by_position = comparison.error_by_position
    tie = 2 * (MAX_ABS_ERROR if judgement.tolerance.exact else comparison.max_abs_error)
    right = torch.tensor([target for targets in judgement.examples.targets for _, target in targets])
    record.checks["tokens"] = judge_filled(expected, found, right if judgement.trained else None, tie=tie)
    if judgement.config.reduces:
        alike = float((fp32.argmax(-1) == found.argmax(-1)).double().mean())
        record.checks["quality"] = judge_quality(compare_logits(fp32, found), alike, judged=judgement.trained)


def judge_filled(expected: Tensor, found: Tensor, right: Tensor | None, *, tie: float) -> Check:
    """The verdict on best answers: the baseline's, or a near-tie.

    Args:
        expected: [n, classes] logits of the baseline.
        found: [n, classes] logits of the program.
        right: [n] what is true; ``None`` where that means nothing.
        tie: Margin up to which a choice is a toss-up, in logits.
    """
    ours, theirs = found.argmax(-1), expected.argmax(-1)
    parted = (ours != theirs).nonzero()[:, 0].tolist()
    real = [
        index for index in parted if max(float(each[index].topk(2).values.diff().abs()) for each in (expected, found)) > tie
    ]
    same = 1 - len(parted) / len(ours)
    truth = None if right is None else float((ours == right).double().mean())
    message = f"{same:.1%} of {len(ours)} answers are the baseline's"
    message += f", {len(parted) - len(real)} near-ties" if len(parted) > len(real) else ""
    message += f"; answers {', '.join(map(str, real[:5]))} are others" if real else ""
    message += "" if truth is None else f", {truth:.1%} right"
    return Check(
        status="fail" if real else "pass",
        message=message,
        metrics={"answers": len(ours), "same": same, "near_ties": len(parted) - len(real), "right": truth},
    )


TASK = Task(
    examples=_examples,
    signature=_signature,
    vacuous=_proves_nothing,
    judge=_judge,
)
