"""The reference images: a coloured shape on a plain ground, drawn for this project."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

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
    from PIL import Image, ImageDraw

    colour, _, shape = name.partition(" ")
    if colour not in COLOURS:
        raise unknown("colour", colour, COLOURS, hint=f"It begins the reference prompt {name!r}.")
    if shape not in SHAPES:
        raise unknown("shape", shape, SHAPES, hint=f"It ends the reference prompt {name!r}.")
    scale = 4  # drawn larger and made smaller, so that edges are smooth
    side = size * scale
    image = Image.new("RGB", (side, side), GROUND)
    pen = ImageDraw.Draw(image)
    x, y, reach = (share * side for share in place)
    box = (x - reach, y - reach, x + reach, y + reach)
    fill = COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y - reach), (x + reach, y + reach), (x - reach, y + reach)], fill=fill)
    elif shape == "cross":
        arm = reach / 3
        pen.rectangle((x - reach, y - arm, x + reach, y + arm), fill=fill)
        pen.rectangle((x - arm, y - reach, x + arm, y + reach), fill=fill)
    else:
        band = 2 * reach / 5
        for index in range(0, 5, 2):
            pen.rectangle((x - reach, y - reach + index * band, x + reach, y - reach + (index + 1) * band), fill=fill)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def references(model: Model, size: int) -> list[tuple[str, Image]]:
    """What each reference image shows, and the image: every reference prompt in several places."""
    return [(prompt.text, draw(prompt.text, size, place)) for prompt in model.reference_prompts for place in PLACES]
