"""The task ``object-detection``: reference scenes, and the logits of all queries, and the objects that they find, must be eager
PyTorch's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.boxes import align, compare_boxes, judge_boxes, right, rounding
from conformance.compare.contract import SCALAR_TYPES, MethodSignature, Signature
from conformance.compare.degeneracy import vacuous
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tolerance import MAX_ABS_ERROR
from conformance.detecting import THRESHOLD, Detections, image_processor, pixels, read
from conformance.record import Record
from conformance.tasks.one_pass import Examples, Judgement, Task
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from exporters.config import ExportConfig
from exporters.metadata import num_channels
from exporters.wrappers.vision import image_size
from zoo.model import Model


@dataclass(frozen=True)
class Target:
    """How the answer to an image is read, and what is there."""

    processor: Any
    """The checkpoint's image processor."""
    objects: Detections | None
    """``None`` where the model does not know such objects."""
    classes: int
    """Labels of the model."""


def _examples(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> Examples:
    """The scenes that a twin was trained on, read from their files; for other checkpoints the same, drawn in their size."""
    from PIL import Image

    from zoo.twins import scenes

    processor = image_processor(checkpoint)
    size = image_size(eager, ExportConfig())
    path = checkpoint / "reference.json"
    shown: list[tuple[Image.Image, Detections | None]]
    if path.is_file():
        samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
        shown = [
            (Image.open(checkpoint / sample["image"]), _objects(sample["objects"], eager.config.label2id)) for sample in samples
        ]
    else:
        shown = [(scenes.draw(scene, max(size)), None) for scene in scenes.references(model)]
    return Examples(
        inputs=tuple({"pixel_values": pixels(processor, image, size)} for image, _ in shown),
        targets=tuple(Target(processor, objects, eager.config.num_labels) for _, objects in shown),
        max_seq_len=None,
    )


def _objects(things: list[dict[str, Any]], ids: dict[str, int]) -> Detections:
    x, y, width, height = torch.tensor([thing["box"] for thing in things]).unbind(1)
    boxes = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=1)
    return Detections(torch.ones(len(things)), torch.tensor([ids[thing["label"]] for thing in things]), boxes)


def _signature(configuration: Any, artifact: Artifact) -> Signature:
    constants = artifact.account.constant_methods
    height, width = constants["get_image_height"], constants["get_image_width"]
    named = getattr(configuration, "image_size", None)
    if named is not None:
        height, width = (named, named) if isinstance(named, int) else named
    dtype = SCALAR_TYPES[artifact.config.dtype]
    channels = num_channels(configuration)
    queries = getattr(configuration, "num_queries", None) or configuration.num_detection_tokens
    # A model that was trained with a focal loss has a sigmoid a class; the others say of a query that it finds nothing.
    focal = any(name.startswith("focal") for name in configuration.to_dict())
    columns = configuration.num_labels + (0 if focal else 1)
    return Signature(
        constants={
            "get_image_height": height,
            "get_image_width": width,
            "get_num_channels": channels,
            "get_num_labels": configuration.num_labels,
            "get_num_queries": queries,
            "get_dtype": dtype,
            "enable_dynamic_shape": False,
        },
        methods={
            "forward": MethodSignature((((1, channels, height, width), dtype),), ((1, queries, columns), (1, queries, 4)))
        },
    )


def logits_of(answers: tuple[Tensor, ...], classes: int) -> Tensor:
    """The logits of all queries of all images: [n, classes + 1], the last of which says that nothing was found. For a model
    with a sigmoid a class that is 0: a class with a logit above it is found.

    Args:
        answers: Each [queries, columns + 4].
        classes: Labels of the model.
    """
    logits = torch.cat(answers)[:, :-4]
    if logits.shape[1] > classes:
        return logits
    return torch.cat([logits, torch.zeros(len(logits), 1)], dim=1)


EIGHT_BITS = 1 / 256
"""A step of an activation in 8 bits, as a share of the picture's side: by so much a coordinate may be off where activations are
quantized while running, in kernels that round elsewhere. Boxes of the twins overlap by 0.988 or more there."""


def _judge(judgement: Judgement, record: Record) -> None:
    targets: tuple[Target, ...] = judgement.examples.targets
    classes = targets[0].classes
    expected = judgement.expected
    found = tuple(align(*each) for each in zip(expected, judgement.found, strict=True))
    comparison = compare_logits(logits_of(expected, classes), logits_of(found, classes))
    record.checks["logits"] = judge_logits(comparison, judgement.tolerance, trained=judgement.trained)
    record.error_by_position = comparison.error_by_position
    # The score is a sigmoid or a softmax of the logits: its slope is a half at most.
    tie = (MAX_ABS_ERROR if judgement.tolerance.exact else comparison.max_abs_error) / 2
    threshold = THRESHOLD if judgement.trained else 0.0
    seen = [[read(target.processor, answer, threshold=threshold) for target, answer in zip(targets, side, strict=True)]
            for side in (expected, found, judgement.fp32)]  # fmt: skip
    off = rounding(judgement.config.dtype)
    if any(scheme.dynamic_activations for scheme in judgement.config.linear_schemes):
        off = max(off, EIGHT_BITS)
    comparisons = [
        compare_boxes(*each, threshold=threshold, tie=tie, rounding=off) for each in zip(seen[0], seen[1], strict=True)
    ]
    box_error = float((torch.cat(found)[:, -4:] - torch.cat(expected)[:, -4:]).abs().max())
    truth = [right(target.objects, each) for target, each in zip(targets, seen[1], strict=True) if target.objects is not None]
    record.checks["boxes"] = judge_boxes(
        comparisons, box_error, truth or None, must_be_right=judgement.trained and not judgement.config.reduces
    )
    if judgement.config.reduces:
        costs = tuple(align(*each) for each in zip(judgement.fp32, judgement.found, strict=True))
        alike = sum(right(*each) for each in zip(seen[2], seen[1], strict=True)) / len(seen[1])
        quality = compare_logits(logits_of(judgement.fp32, classes), logits_of(costs, classes))
        record.checks["quality"] = judge_quality(quality, alike, judged=judgement.trained)


TASK = Task(
    examples=_examples,
    signature=_signature,
    # Every query of an image: the last one alone may well find nothing in any.
    vacuous=lambda examples, answers: vacuous([answer.flatten()[None] for answer in answers], None),
    judge=_judge,
    align=align,
)
