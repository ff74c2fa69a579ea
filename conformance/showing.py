"""Pictures in files: read for programs that look, and drawn into with what they found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from conformance.inference.one_pass import Found


def read_image(path: Path) -> Any:
    """The picture in a file, in RGB.

    Raises:
        ConformanceError: there is no such file, or none that Pillow reads.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ConformanceError(f"{path} does not exist; give a picture.")
    try:
        return Image.open(path).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ConformanceError(f"{path} is no picture that can be read: {error}.") from error


def check_drawing(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        ConformanceError: its suffix names no format, or its directory does not exist.
    """
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions() or not path.parent.is_dir():
        raise ConformanceError(f"--save {path}: give a file with a picture's suffix, such as .png, in a directory that exists.")


def draw(picture: Any, found: Sequence[Found], path: Path) -> None:
    """Write a picture with a box, a label and a score for each object.

    Raises:
        ConformanceError: the file cannot be written.
    """
    try:
        drawn(picture, found).save(path)
    except OSError as error:
        raise ConformanceError(f"cannot write {path}: {error}.") from error


def drawn(picture: Any, found: Sequence[Found]) -> Any:
    """A copy of a picture with a box, a label and a score for each object."""
    from PIL import ImageDraw, ImageFont

    copy = picture.copy()
    pen = ImageDraw.Draw(copy)
    shorter = min(picture.size)
    width, font = max(1, shorter // 150), ImageFont.load_default(size=max(8, shorter // 25))
    for each in reversed(found):  # the surest is on top
        pen.rectangle(each.box, outline=BOX, width=width)
        text = f"{each.label} {each.score:.0%}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        # Above the box, or where there is no room inside of it; never beyond the picture.
        x = max(0.0, min(each.box[0], picture.width - (right - left)))
        y = each.box[1] - bottom - width if each.box[1] - bottom - width >= 0 else max(0.0, each.box[1]) + width
        pen.rectangle((x + left - 1, y + top - 1, x + right + 1, y + bottom + 1), fill=BOX)
        pen.text((x, y), text, fill=(0, 0, 0), font=font)
    return copy


BOX = (255, 0, 255)
"""Colour of drawn boxes."""
