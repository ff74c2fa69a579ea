"""What stands before and behind a detector: the checkpoint's own image processor makes its input and reads its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

THRESHOLD = 0.5
"""Score from which on a detection counts; transformers' default."""


@dataclass(frozen=True)
class Detections:
    """What a detector found in an image."""

    scores: Tensor
    """[n], from 0 to 1."""
    labels: Tensor
    """[n] int64."""
    boxes: Tensor
    """[n, 4]: left, top, right, bottom, in pixels or as shares of the image's sides."""


def image_processor(place: Path) -> Any:
    """The image processor of a checkpoint, in its form for PIL images."""
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(place, trust_remote_code=False, local_files_only=True, backend="pil")


def pixels(processor: Any, image: Image, size: tuple[int, int]) -> Tensor:
    """An image as a program of one size takes it: stretched to ``size`` (height, width), not padded.

    Returns:
        [1, channels, height, width] float32.
    """
    height, width = size
    made = processor(image, size={"height": height, "width": width}, do_pad=False, return_tensors="pt")
    values: Tensor = made["pixel_values"]
    return values


def read(processor: Any, answer: Tensor, *, threshold: float = THRESHOLD, size: tuple[int, int] | None = None) -> Detections:
    """What an answer says, as transformers' ``post_process_object_detection`` of this kind of detector understands it.

    Args:
        answer: [queries, columns + 4], as ``InferenceSession.infer`` gives it.
        threshold: Score above which a detection counts.
        size: Height and width of the image in pixels; ``None`` leaves boxes as shares of its sides.
    """
    output = SimpleNamespace(logits=answer[None, :, :-4], pred_boxes=answer[None, :, -4:])
    sizes = None if size is None else [size]
    (found,) = processor.post_process_object_detection(output, threshold=threshold, target_sizes=sizes)
    return Detections(found["scores"], found["labels"], found["boxes"])
