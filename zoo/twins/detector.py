"""The twin of a detector: it finds the coloured shapes of the reference scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import scenes, training
from zoo.twins.checkpoint import configuration_of, image_processor, labels, network_of, refer, toy_dimensions
from zoo.twins.scenes import Scene
from zoo.twins.training import GOOD_MARGIN, MARGIN, calibrate, calibrate_frozen, fit, spread

IOU = 0.8
"""Smallest intersection over union of a box that the twin answers with the true one."""
NOTHING_WEIGHT = 0.2
"""What a query that finds nothing counts beside one that finds something; there are many more of them."""
BOX_WEIGHT, OVERLAP_WEIGHT = 5.0, 2.0
"""Weights of a box's coordinates and of its overlap with the true one, as DETR has them (arXiv:2005.12872, A.4)."""


def build(model: Model, directory: Path) -> None:
    """A model that finds what lies in the reference scenes, and nothing else."""
    processor = image_processor(model, full=False)
    configuration = configuration_of(model, {**toy_dimensions(model), **labels(model)}, {})
    network = network_of(model, configuration)
    shown = scenes.references(model)
    pictures = [scenes.draw(scene, int(model.twin.image_size or 0)) for scene in shown]
    pixels = torch.cat([processor(picture, return_tensors="pt")["pixel_values"] for picture in pictures])
    spread(network)
    margin, overlap = train_detector(network, pixels, _targets(shown, configuration.label2id), name=model.name)
    network.save_pretrained(directory)
    processor.save_pretrained(directory)
    samples = []
    for index, (scene, picture) in enumerate(zip(shown, pictures, strict=True)):
        picture.save(directory / f"reference-{index}.png")
        things = [{"label": thing.label, "box": list(thing.box)} for thing in scene]
        samples.append({"image": f"reference-{index}.png", "objects": things})
    refer(directory, smallest_margin=margin, smallest_iou=overlap, samples=samples)


@dataclass(frozen=True)
class Target:
    """What lies in an image."""

    classes: Tensor
    """[n] int64."""
    boxes: Tensor
    """[n, 4]: centre x, centre y, width, height, from 0 to 1."""


def _targets(shown: Sequence[Scene], ids: dict[str, int]) -> list[Target]:
    return [
        Target(torch.tensor([ids[thing.label] for thing in scene]), torch.tensor([thing.box for thing in scene]))
        for scene in shown
    ]


def train_detector(model: Any, pixel_values: Tensor, targets: Sequence[Target], *, name: str) -> tuple[float, float]:
    """Train a detector in place until it finds what is there. Its batch norm is left with the statistics of these images, also
    where it is frozen, as that of a published model is with those of its own.

    Args:
        pixel_values: [n, channels, height, width].
        targets: What lies in each image.

    Returns:
        The smallest margin in logits of any query's answer, and the smallest intersection over union of any found box.

    Raises:
        ZooError: the margin stayed below ``MARGIN``, or the overlap below ``IOU``.
    """
    best = (float("-inf"), 0.0)

    def answers() -> Any:
        return model(pixel_values=pixel_values)

    def loss() -> Tensor:
        return torch.stack([_loss(each, targets, model.config.num_labels) for each in _predictions(answers())]).sum()

    @torch.no_grad()
    def margin() -> float:
        nonlocal best
        calibrate(model, answers)
        output = answers()
        best = _quality(output.logits, output.pred_boxes, targets, model.config.num_labels)
        return best[0] if best[1] >= IOU else float("-inf")

    calibrate_frozen(model, answers)
    if fit(model, loss, margin, good=GOOD_MARGIN) < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot find what lies in its images: after {training.MAX_STEPS} steps the smallest margin "
            f"is {best[0]:.2f}, and {MARGIN} is needed, and the smallest overlap {best[1]:.2f}, and {IOU} is needed. Give its "
            "Twin(...) more width or a larger image_size."
        )
    return best


def _predictions(output: Any) -> list[tuple[Tensor, Tensor]]:
    """Logits and boxes of everything in a detector that is trained: its answer; where queries are chosen among the places of
    the image, the scores and boxes they are chosen by; where a decoder refines its boxes, those of each layer. RT-DETR detaches
    one from the other."""
    found = [(output.logits, output.pred_boxes)]
    if getattr(output, "enc_topk_logits", None) is not None:
        found.append((output.enc_topk_logits, output.enc_topk_bboxes))
    if getattr(output, "intermediate_logits", None) is not None:
        layers = zip(output.intermediate_logits.unbind(1), output.intermediate_reference_points.unbind(1), strict=True)
        found += list(layers)[:-1]
    return found


def _loss(prediction: tuple[Tensor, Tensor], targets: Sequence[Target], classes: int) -> Tensor:
    """Cross entropy of every query's class, and the distance of the boxes of those that should find something."""
    logits, boxes = prediction
    total = logits.new_zeros(())
    for scores, places, target in zip(logits, boxes, targets, strict=True):
        queries = match(scores, places, target, classes)
        total = total + _class_loss(scores, queries, target.classes, classes)
        found = places[queries]
        total = total + BOX_WEIGHT * (found - target.boxes).abs().sum(-1).mean()
        total = total + OVERLAP_WEIGHT * (1 - generalized_iou(found, target.boxes)).mean()
    return total / len(targets)


def _class_loss(scores: Tensor, queries: Tensor, targets: Tensor, classes: int) -> Tensor:
    empty = torch.ones(len(scores), dtype=torch.bool)
    empty[queries] = False
    if scores.shape[-1] == classes:
        # A sigmoid a class: what finds nothing says so of every class.
        wanted = torch.zeros_like(scores)
        wanted[queries, targets] = 1
        each = nn.functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none").sum(-1)
    else:
        meant = torch.full((len(scores),), classes)
        meant[queries] = targets
        each = nn.functional.cross_entropy(scores, meant, reduction="none")
    return each[queries].mean() + NOTHING_WEIGHT * each[empty].sum() / len(queries)


@torch.no_grad()
def match(scores: Tensor, boxes: Tensor, target: Target, classes: int) -> Tensor:
    """The query that is to find each object: the pairs that agree best first, no query twice.

    Args:
        scores: [queries, columns] logits.
        boxes: [queries, 4].
        classes: Number of classes; one column more is the answer that nothing was found.

    Returns:
        [objects] int64.
    """
    likely = scores.sigmoid() if scores.shape[-1] == classes else scores.softmax(-1)
    cost = BOX_WEIGHT * (boxes[:, None] - target.boxes[None]).abs().sum(-1) - likely[:, target.classes]
    queries = torch.zeros(len(target.classes), dtype=torch.long)
    for _ in range(len(target.classes)):
        query, thing = divmod(int(cost.argmin()), cost.shape[1])
        queries[thing] = query
        cost[query], cost[:, thing] = float("inf"), float("inf")
    return queries


def _quality(logits: Tensor, boxes: Tensor, targets: Sequence[Target], classes: int) -> tuple[float, float]:
    """The smallest margin and the smallest overlap, as ``train_detector`` returns them."""
    margins, overlaps = [], []
    for scores, places, target in zip(logits, boxes, targets, strict=True):
        queries = match(scores, places, target, classes)
        if scores.shape[-1] == classes:
            # To find nothing is to have no logit above zero: a column of its own makes both kinds alike.
            scores = torch.cat([scores, torch.zeros(len(scores), 1)], dim=1)
        meant = torch.full((len(scores),), classes)
        meant[queries] = target.classes
        margins.append(training.worst_margin(scores, meant))
        overlaps.append(float(generalized_iou(places[queries], target.boxes, generalized=False).min()))
    return min(margins), min(overlaps)


def generalized_iou(first: Tensor, second: Tensor, *, generalized: bool = True) -> Tensor:
    """Generalized intersection over union of boxes in pairs (arXiv:1902.09630), or the plain one.

    Args:
        first: [n, 4]: centre x, centre y, width, height.
        second: [n, 4].

    Returns:
        [n].
    """
    low, high = (torch.stack([each[:, :2] + sign * each[:, 2:] / 2 for each in (first, second)]) for sign in (-1, 1))
    shared = (high.amin(0) - low.amax(0)).clamp_min(0).prod(-1)
    union = first[:, 2:].prod(-1) + second[:, 2:].prod(-1) - shared
    overlap = shared / union.clamp_min(1e-9)
    if not generalized:
        return overlap
    around = (high.amax(0) - low.amin(0)).prod(-1)
    return overlap - (around - union) / around.clamp_min(1e-9)
