"""``VisionEncoderExportableModule``: image classifiers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.attention.implementation import set_attention
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.wrappers import ExportableMethod, refuse_cache_options

PREPROCESSOR = "preprocessor_config.json"


class VisionEncoderExportableModule(nn.Module):
    """An image in, the logits of its classes out. The image's size is fixed: most architectures have positions for one size.

    Args:
        model: An image classifier of transformers, in evaluation mode. Its attention implementation is set to ``eager`` where
            it has one.
        config: The configuration; ``image_size=None`` takes the one that the checkpoint names.

    Raises:
        ExportError: neither the configuration nor the checkpoint names a size, or the model has no positions for it.
        NotApplicableError: the configuration asks for what text is needed for.
    """

    max_seq_len = None

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        self.config = config
        self.height, self.width = ready(model, config)
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The logits of an image.

        Args:
            pixel_values: [1, channels, height, width], as the checkpoint's image processor makes them.

        Returns:
            [1, classes].
        """
        logits: Tensor = self.model(pixel_values=pixel_values).logits
        return logits

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, for one image of the fixed size."""
        image = one_image(self.model, self.height, self.width)
        return {"forward": ExportableMethod(module=self, example_inputs=(image,), dynamic_shapes=None)}

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.image_classification(self.model, self.config, height=self.height, width=self.width)

    def cache_report(self) -> list[dict[str, Any]]:
        """Nothing: there is no cache."""
        return []


def ready(model: PreTrainedModel, config: ExportConfig) -> tuple[int, int]:
    """Set the attention of a model that looks at images to what can be exported; returns the height and width of its images.

    Raises:
        ExportError: as ``image_size``.
        NotApplicableError: the configuration asks for what text is needed for.
    """
    refuse_cache_options(model, config)
    if config.qembedding is not None or config.use_shared_embedding:
        raise NotApplicableError(f"{type(model).__name__} looks at images: it has no embedding of tokens.")
    if model._supports_sdpa:
        set_attention(model, "eager")
    return image_size(model, config)


def one_image(model: PreTrainedModel, height: int, width: int) -> Tensor:
    """A black image in the type of the model: [1, channels, height, width]."""
    return torch.zeros(1, metadata.num_channels(model.config), height, width, dtype=model.dtype)


def image_size(model: PreTrainedModel, config: ExportConfig) -> tuple[int, int]:
    """Height and width of the images, in pixels: the size asked for, the one of the model's configuration, or the one that the
    image processor beside it makes.

    Raises:
        ExportError: there is none, or the model has positions for another one only.
    """
    named = getattr(getattr(model.config, "vision_config", model.config), "image_size", None)
    size = config.image_size or named or _processed_size(Path(model.name_or_path))
    if size is None:
        raise ExportError(
            f"{model.name_or_path} does not say how large its images are: its configuration has no image_size, and there is no "
            f"{PREPROCESSOR} with a size. Give --image_size, such as 224."
        )
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _processed_size(checkpoint: Path) -> tuple[int, int] | None:
    """What the image processor of a checkpoint makes of an image."""
    path = checkpoint / PREPROCESSOR
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("crop_size", "size") if values.get("do_center_crop") else ("size",):
        size = values.get(name)
        if isinstance(size, int):
            return size, size
        if isinstance(size, dict) and {"height", "width"} <= size.keys():
            return size["height"], size["width"]
        if isinstance(size, dict) and values.get("merge_size") is not None:  # pixels of the smallest and the largest image
            side = math.isqrt(size["longest_edge"])
            return (side, side) if size.get("shortest_edge") == side**2 == size["longest_edge"] else None
        if isinstance(size, dict) and "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
    return None
