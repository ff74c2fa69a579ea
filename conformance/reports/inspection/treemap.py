"""Treemaps: rectangles whose areas are sizes.

The layout is the squarified one of Bruls, Huizing and van Wijk (Squarified Treemaps, 2000): rows along the shorter side, each
filled while that makes its rectangles squarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """A rectangle for each size, filling ``box``; the sizes are positive, and the largest comes first."""
    total = sum(sizes)
    if not total:
        return []
    scale = box.width * box.height / total
    areas = [size * scale for size in sizes]
    placed: list[Box] = []
    while areas:
        side = min(box.width, box.height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        row, box = _row(areas[:count], box)
        placed += row
        areas = areas[count:]
    return placed


def _worst(areas: Sequence[float], side: float) -> float:
    """The longest shape, as long side by short one, of a row of areas along a side."""
    depth = sum(areas) / side
    return max(max(depth * depth / area, area / (depth * depth)) for area in areas)


def _row(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """The rectangles of a row along the shorter side, and what is left of the box."""
    across = box.width >= box.height
    depth = sum(areas) / (box.height if across else box.width)
    at = box.y if across else box.x
    placed = []
    for area in areas:
        length = area / depth
        placed.append(Box(box.x, at, depth, length) if across else Box(at, box.y, length, depth))
        at += length
    if across:
        return placed, Box(box.x + depth, box.y, max(box.width - depth, 1e-9), box.height)
    return placed, Box(box.x, box.y + depth, box.width, max(box.height - depth, 1e-9))
