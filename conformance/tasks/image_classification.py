"""The task ``image-classification``: reference images, and the logits of the classes and the best class must be eager
PyTorch's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.contract import SCALAR_TYPES, MethodSignature, Signature
from conformance.compare.degeneracy import untaught, vacuous
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tolerance import MAX_ABS_ERROR
from conformance.record import Record
from conformance.tasks.fill_mask import judge_filled
from conformance.tasks.one_pass import Examples, Judgement, Task
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from exporters.config import ExportConfig
from exporters.wrappers.vision import image_size
from zoo.model import Model


def _examples(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> Examples:
    """The images that a twin was trained on, read from their files; for other checkpoints the same, drawn in their size. The
    checkpoint's own image processor makes tensors of them."""
    from PIL import Image
    from transformers import AutoImageProcessor

    from zoo.twins import images

    processor = AutoImageProcessor.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True, backend="pil")
    path = checkpoint / "reference.json"
    margin: float | None = None
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        samples, margin = told["samples"], told.get("smallest_margin")
        shown: list[tuple[str, Image.Image]] = [
            (sample["label"], Image.open(checkpoint / sample["image"])) for sample in samples
        ]
    else:
        shown = images.references(model, max(image_size(eager, ExportConfig())))
    labels = eager.config.label2id
    return Examples(
        inputs=tuple({"pixel_values": processor(image, return_tensors="pt")["pixel_values"]} for _, image in shown),
        targets=tuple(labels.get(name) for name, _ in shown),
        max_seq_len=None,
        taught=path.is_file(),
        margin=margin,
    )


def _signature(configuration: Any, artifact: Artifact) -> Signature:
    constants = artifact.account.constant_methods
    height, width = constants["get_image_height"], constants["get_image_width"]
    named = getattr(configuration, "image_size", None)
    if named is not None:
        height, width = (named, named) if isinstance(named, int) else named
    dtype = SCALAR_TYPES[artifact.config.dtype]
    return Signature(
        constants={
            "get_image_height": height,
            "get_image_width": width,
            "get_num_channels": configuration.num_channels,
            "get_num_labels": configuration.num_labels,
            "get_dtype": dtype,
            "enable_dynamic_shape": False,
        },
        methods={
            "forward": MethodSignature(
                (((1, configuration.num_channels, height, width), dtype),), ((1, configuration.num_labels),)
            )
        },
    )


def _proves_nothing(examples: Examples, answers: tuple[Tensor, ...]) -> str | None:
    said = [answer.argmax(-1).tolist() for answer in answers]
    right = [[label] for label in examples.targets]
    if examples.taught:
        return vacuous(answers, None) or untaught(right, said, logits=answers, margin=examples.margin)
    return vacuous(answers, None)


def _judge(judgement: Judgement, record: Record) -> None:
    expected, found, fp32 = (torch.cat(answers) for answers in (judgement.expected, judgement.found, judgement.fp32))
    comparison = compare_logits(expected, found)
    record.checks["logits"] = judge_logits(comparison, judgement.tolerance, trained=judgement.trained)
    record.error_by_position = comparison.error_by_position
    tie = 2 * (MAX_ABS_ERROR if judgement.tolerance.exact else comparison.max_abs_error)
    known = judgement.trained and None not in judgement.examples.targets
    right = torch.tensor(judgement.examples.targets) if known else None
    record.checks["classes"] = judge_filled(expected, found, right, tie=tie)
    if judgement.config.reduces:
        alike = float((fp32.argmax(-1) == found.argmax(-1)).double().mean())
        record.checks["quality"] = judge_quality(compare_logits(fp32, found), alike, judged=judgement.trained)


TASK = Task(
    examples=_examples,
    signature=_signature,
    vacuous=_proves_nothing,
    judge=_judge,
)
