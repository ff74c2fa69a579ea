"""Detections, compared as sets: an object is the same if its label is equal and its box lies on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conformance.detecting import Detections
from conformance.record import Check

SAME = 0.99
"""Smallest intersection over union with the baseline's box at which a box is the same."""
RIGHT = 0.5
"""Smallest intersection over union with the true box at which an object is found, as COCO counts it."""
LARGEST_TIE = 0.05
"""Distance of a score from the threshold above which no logit error explains that a detection is missing."""


@dataclass(frozen=True)
class BoxComparison:
    """Two sets of detections in an image."""

    same: int
    """Objects that both found: equal labels, and boxes that overlap by ``SAME`` or are within ``rounding``."""
    near_ties: int
    """Detections of one alone whose score is at the threshold."""
    wrong: tuple[str, ...]
    """What is not the same, in words."""
    smallest_iou: float
    """Of the objects with equal labels that were paired; 1 if there is none."""
    max_score_error: float


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every box with every other.

    Args:
        first: [n, 4]: left, top, right, bottom.
        second: [m, 4].

    Returns:
        [n, m]; 0 where a box is empty.
    """
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).clamp_min(0).prod(-1) for each in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared).clamp_min(1e-12)


def pair(likeness: Tensor) -> list[tuple[int, int]]:
    """Rows and columns of [n, m] in pairs, the likest first, none twice; pairs of likeness ``-inf`` are none."""
    pairs: list[tuple[int, int]] = []
    columns = likeness.shape[1]
    rows_left, columns_left = set(range(likeness.shape[0])), set(range(columns))
    for place in likeness.flatten().argsort(descending=True, stable=True).tolist():
        row, column = divmod(place, columns)
        if row in rows_left and column in columns_left and likeness[row, column] > float("-inf"):
            pairs.append((row, column))
            rows_left.remove(row)
            columns_left.remove(column)
    return pairs


def align(expected: Tensor, found: Tensor) -> Tensor:
    """The rows of ``found`` in the order of ``expected``, each beside the one it is nearest to.

    The order of a detector's queries means nothing. Where they are chosen by their scores, two equal ones may change places.

    Args:
        expected: [queries, columns + 4].
        found: The same shape.
    """
    if expected.shape != found.shape or not bool(found.isfinite().all()):
        return found
    order = torch.zeros(len(found), dtype=torch.long)
    for row, column in pair(-torch.cdist(expected.double(), found.double(), compute_mode="donot_use_mm_for_euclid_dist")):
        order[row] = column
    return found[order]


def rounding(dtype: str) -> float:
    """How far a coordinate may be off in a configuration's dtype, as a share of the image's side: two units in the last place
    of numbers from a half to one. In bfloat16 that is half a pixel of 64, and a box a third as wide that is off by so much no
    longer overlaps by ``SAME``."""
    return {"fp32": 0.0, "fp16": 2.0**-10, "bf16": 2.0**-7}[dtype]


def compare_boxes(
    expected: Detections, found: Detections, *, threshold: float, tie: float, rounding: float = 0.0
) -> BoxComparison:
    """Compare what two models found in an image.

    Args:
        threshold: Score above which a detection counts.
        tie: Distance from it up to which it is a toss-up whether one does; it counts up to ``LARGEST_TIE``.
        rounding: Difference of coordinates that is none.
    """
    likeness = iou(expected.boxes.double(), found.boxes.double())
    likeness = likeness.masked_fill(expected.labels[:, None] != found.labels[None], float("-inf"))
    pairs = pair(likeness)
    tie = min(tie, LARGEST_TIE)
    wrong, ties, same = [], 0, 0
    for row, column in pairs:
        close = float((expected.boxes[row] - found.boxes[column]).abs().max()) <= rounding
        if likeness[row, column] >= SAME or close:
            same += 1
        else:
            wrong.append(f"object {row} (label {int(expected.labels[row])}) overlaps by {float(likeness[row, column]):.4f}")
    for name, side, paired in (
        ("missing", expected, {row for row, _ in pairs}),
        ("not in the baseline", found, {column for _, column in pairs}),
    ):
        for index in set(range(len(side.labels))) - paired:
            if abs(float(side.scores[index]) - threshold) <= tie:
                ties += 1
            else:
                wrong.append(f"an object of label {int(side.labels[index])} (score {float(side.scores[index]):.3f}) is {name}")
    overlaps = [float(likeness[row, column]) for row, column in pairs]
    errors = [abs(float(expected.scores[row] - found.scores[column])) for row, column in pairs]
    return BoxComparison(
        same=same,
        near_ties=ties,
        wrong=tuple(wrong),
        smallest_iou=min(overlaps, default=1.0),
        max_score_error=max(errors, default=0.0),
    )


def right(true: Detections, found: Detections) -> bool:
    """Whether what was found in an image is what is there: every object, no other."""
    if len(true.labels) != len(found.labels):
        return False
    likeness = iou(true.boxes, found.boxes).masked_fill(true.labels[:, None] != found.labels[None], float("-inf"))
    pairs = pair(likeness)
    return len(pairs) == len(true.labels) and all(float(likeness[row, column]) >= RIGHT for row, column in pairs)


def judge_boxes(
    comparisons: Sequence[BoxComparison], box_error: float, truth: Sequence[bool] | None, *, must_be_right: bool
) -> Check:
    """The verdict over all images: the baseline's objects, and no others; and the right ones where the baseline is exact.

    Args:
        comparisons: Program against baseline, by image.
        box_error: Largest error of any coordinate of any query's box, as a share of the image's side.
        truth: By image whether the program found what is there; ``None`` where that means nothing.
        must_be_right: Whether it has to.
    """
    wrong = [f"image {index}: {told}" for index, each in enumerate(comparisons) for told in each.wrong]
    missed = [index for index, good in enumerate(truth or ()) if not good]
    if must_be_right and missed:
        wrong.append(f"what is in the images {', '.join(map(str, missed[:5]))} was not found")
    same, ties = sum(each.same for each in comparisons), sum(each.near_ties for each in comparisons)
    smallest = min((each.smallest_iou for each in comparisons), default=1.0)
    share = None if truth is None else 1 - len(missed) / max(1, len(truth))
    message = (
        f"{same} objects in {len(comparisons)} images are the baseline's, smallest overlap {smallest:.4f} "
        f"(at least {SAME}, or off by less than the dtype's rounding)"
    )
    message += f", {ties} near-ties" if ties else ""
    message += "" if share is None else f"; {share:.1%} of the images right"
    if wrong:
        message += "; " + "; ".join(wrong[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")
    empty = not wrong and not same
    return Check(
        status="fail" if wrong else "inconclusive" if empty else "pass",
        message="proves nothing: the baseline finds nothing in any image" if empty else message,
        metrics={
            "same": same,
            "near_ties": ties,
            "wrong": len(wrong),
            "smallest_iou": smallest,
            "max_score_error": max((each.max_score_error for each in comparisons), default=0.0),
            "max_abs_box_error": box_error,
            "right": share,
        },
    )
