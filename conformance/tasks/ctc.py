"""The task ``automatic-speech-recognition`` with CTC: the logits of every frame and the transcript that they spell must be
eager PyTorch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.contract import SCALAR_TYPES, MethodSignature, Signature
from conformance.compare.degeneracy import untaught, vacuous
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tolerance import MAX_ABS_ERROR
from conformance.record import Check, Record
from conformance.tasks.fill_mask import judge_filled
from conformance.tasks.one_pass import Examples, Judgement, Task
from conformance.tasks.speech_recognition import extractor_of, told_of
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from zoo.model import Model
from zoo.twins import sounds
from zoo.twins.speech import collapse, features

FEWEST_LETTERS = 3
"""Different letters that the baseline must write, to be worth comparing."""


def _examples(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> Examples:
    """The reference sounds, through the checkpoint's feature extractor, and what a twin has learned to write about them."""
    extractor = extractor_of(checkpoint)
    told = told_of(checkpoint, eager)
    labels = {sample["sound"]: tuple(sample["labels"]) for sample in told["samples"]}
    names = [prompt.text for prompt in model.reference_prompts]
    return Examples(
        inputs=tuple(features(extractor, sounds.draw(name)) for name in names),
        targets=tuple((labels.get(name), eager.config.pad_token_id) for name in names),
        max_seq_len=None,
        max_source_len=told["max_source_len"],
        margin=told.get("smallest_margin"),
    )


def _signature(configuration: Any, artifact: Artifact) -> Signature:
    longest = artifact.config.max_source_len or 0
    dtype = SCALAR_TYPES[artifact.config.dtype]
    frames, shortest = longest, 2
    for kernel, stride in zip(configuration.conv_kernel, configuration.conv_stride, strict=True):
        frames = (frames - kernel) // stride + 1
    for kernel, stride in reversed(list(zip(configuration.conv_kernel, configuration.conv_stride, strict=True))):
        shortest = (shortest - 1) * stride + kernel
    return Signature(
        constants={
            "get_vocab_size": configuration.vocab_size,
            "get_n_layers": configuration.num_hidden_layers,
            "get_blank_id": configuration.pad_token_id,
            "get_dtype": dtype,
            "enable_dynamic_source": True,
            "get_max_source_len": longest,
            "get_min_source_len": shortest,
            "get_sampling_rate": sounds.SAMPLING_RATE,
        },
        methods={"forward": MethodSignature((((1, longest), dtype),), ((1, frames, configuration.vocab_size),))},
    )


def _spelt(examples: Examples, answers: tuple[Tensor, ...]) -> list[list[int]]:
    """The transcripts, in ids."""
    return [collapse(answer.argmax(-1).tolist(), blank) for answer, (_, blank) in zip(answers, examples.targets, strict=True)]


def _proves_nothing(examples: Examples, answers: tuple[Tensor, ...]) -> str | None:
    letters = max(len(set(ids)) for ids in _spelt(examples, answers))
    trained = any(labels is not None for labels, _ in examples.targets)
    if trained and letters < FEWEST_LETTERS:
        return f"the baseline writes {letters} different letters, {FEWEST_LETTERS} are needed"
    labels = [labels for labels, _ in examples.targets]
    if trained:
        return vacuous(answers, None) or untaught(labels, _spelt(examples, answers), logits=answers, margin=examples.margin)
    return vacuous(answers, None)


def _judge(judgement: Judgement, record: Record) -> None:
    expected, found, fp32 = (torch.cat(answers) for answers in (judgement.expected, judgement.found, judgement.fp32))
    comparison = compare_logits(expected, found)
    record.checks["logits"] = judge_logits(comparison, judgement.tolerance, trained=judgement.trained)
    record.error_by_position = comparison.error_by_position
    tie = 2 * (MAX_ABS_ERROR if judgement.tolerance.exact else comparison.max_abs_error)
    frames = judge_filled(expected, found, None, tie=tie)
    wanted, said = _spelt(judgement.examples, judgement.expected), _spelt(judgement.examples, judgement.found)
    same = sum(first == second for first, second in zip(wanted, said, strict=True))
    labels = [labels for labels, _ in judgement.examples.targets]
    right = sum(tuple(ids) == label for ids, label in zip(said, labels, strict=True))
    told = f"; {right} are right" if None not in labels else ""
    record.checks["tokens"] = Check(
        status=frames.status,
        message=f"{same} of {len(said)} transcripts are the baseline's{told}; of the frames, {frames.message}",
        metrics={**frames.metrics, "transcripts": len(said), "same_transcripts": same, "right_transcripts": right},
    )
    if judgement.config.reduces:
        alike = float((fp32.argmax(-1) == found.argmax(-1)).double().mean())
        record.checks["quality"] = judge_quality(compare_logits(fp32, found), alike, judged=judgement.trained)


TASK = Task(examples=_examples, signature=_signature, vacuous=_proves_nothing, judge=_judge)
