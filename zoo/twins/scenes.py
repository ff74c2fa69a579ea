"""The reference scenes of detectors: one coloured shape or two on a plain ground, and the boxes that they fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.model import Model
from zoo.twins import images

if TYPE_CHECKING:
    from PIL.Image import Image

Place = tuple[float, float, float, float]
"""Centre of a shape and how far it reaches across and down from there, as shares of the image's side."""

ALONE: tuple[Place, ...] = ((0.5, 0.5, 0.32, 0.22), (0.36, 0.6, 0.2, 0.3), (0.62, 0.4, 0.28, 0.2))
BESIDE: tuple[tuple[Place, Place], ...] = (
    ((0.28, 0.3, 0.18, 0.24), (0.7, 0.7, 0.24, 0.18)),
    ((0.3, 0.7, 0.22, 0.17), (0.74, 0.3, 0.17, 0.22)),
)
"""Places of two shapes that do not overlap. No box is a square: width and height must not be taken for each other."""


@dataclass(frozen=True)
class Thing:
    """What lies in a scene."""

    label: str
    """What it is: ``red circle``."""
    place: Place

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Centre x, centre y, width and height as shares of the image's side, as detectors of transformers answer."""
        x, y, across, down = self.place
        return x, y, 2 * across, 2 * down


Scene = tuple[Thing, ...]


def references(model: Model) -> list[Scene]:
    """Every reference prompt alone, and every one beside the next."""
    names = [prompt.text for prompt in model.reference_prompts]
    alone = [(Thing(name, ALONE[index % len(ALONE)]),) for index, name in enumerate(names)]
    pairs = list(zip(names, names[1:] + names[:1], strict=True))
    beside = [
        tuple(Thing(name, place) for name, place in zip(pair, BESIDE[index % len(BESIDE)], strict=True))
        for index, pair in enumerate(pairs)
    ]
    return [*alone, *beside]


def draw(scene: Scene, size: int) -> Image:
    """The image of a scene, ``size`` pixels high and wide."""
    return images.draw_all([(thing.label, thing.place) for thing in scene], size)
