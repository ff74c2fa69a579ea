"""The reference images: a coloured shape on a plain ground, drawn for this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo.errors import unknown
from zoo.model import Model

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"red": (214, 40, 40), "green": (42, 157, 80), "blue": (38, 84, 200), "yellow": (244, 200, 48), "white": (245, 245, 245)}
)
SHAPES = ("circle", "square", "triangle", "cross", "stripes")
GROUND = (48, 52, 60)
PLACES: tuple[tuple[float, float, float], ...] = ((0.5, 0.5, 0.36), (0.42, 0.55, 0.28), (0.57, 0.46, 0.32))
"""Where a shape may lie and how far it reaches from there, as shares of the image's side."""


def draw(name: str, size: int, place: tuple[float, float, float] = PLACES[0]) -> Image:
    """The image that ``name`` (``red circle``) describes.

    Args:
        name: A key of ``COLOURS`` and one of ``SHAPES``.
        size: Its height and width in pixels.
        place: Centre and reach of the shape, as in ``PLACES``.

    Raises:
        ZooError: there is no such colour or shape.
    """
    x, y, reach = place
    return draw_all([(name, (x, y, reach, reach))], size)


def draw_all(shapes: Sequence[tuple[str, tuple[float, float, float, float]]], size: int) -> Image:
    """An image of several shapes, the later above the earlier.

    Args:
        shapes: What each is, as ``draw`` takes it, and its centre and how far it reaches across and down from there, as shares
            of the image's side.
        size: Height and width in pixels.

    Raises:
        ZooError: there is no such colour or shape.
    """
    from PIL import Image, ImageDraw

    scale = 4  # drawn larger and made smaller, so that edges are smooth
    side = size * scale
    image = Image.new("RGB", (side, side), GROUND)
    pen = ImageDraw.Draw(image)
    for name, place in shapes:
        _paint(pen, name, *(share * side for share in place))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _paint(pen: Any, name: str, x: float, y: float, across: float, down: float) -> None:
    """Draw a shape that reaches ``across`` and ``down`` from its centre, in pixels."""
    colour, _, shape = name.partition(" ")
    if colour not in COLOURS:
        raise unknown("colour", colour, COLOURS, hint=f"It begins the reference prompt {name!r}.")
    if shape not in SHAPES:
        raise unknown("shape", shape, SHAPES, hint=f"It ends the reference prompt {name!r}.")
    box = (x - across, y - down, x + across, y + down)
    fill = COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y - down), (x + across, y + down), (x - across, y + down)], fill=fill)
    elif shape == "cross":
        pen.rectangle((x - across, y - down / 3, x + across, y + down / 3), fill=fill)
        pen.rectangle((x - across / 3, y - down, x + across / 3, y + down), fill=fill)
    else:
        band = 2 * down / 5
        for index in range(0, 5, 2):
            pen.rectangle((x - across, y - down + index * band, x + across, y - down + (index + 1) * band), fill=fill)


def references(model: Model, size: int) -> list[tuple[str, Image]]:
    """What each reference image shows, and the image: every reference prompt in several places."""
    return [(prompt.text, draw(prompt.text, size, place)) for prompt in model.reference_prompts for place in PLACES]
