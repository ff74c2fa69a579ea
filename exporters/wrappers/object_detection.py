"""``ObjectDetectionExportableModule``: detectors of objects in images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.config import ExportConfig
from exporters.wrappers import ExportableMethod
from exporters.wrappers.vision import one_image, ready


class ObjectDetectionExportableModule(nn.Module):
    """An image in, a class and a box for each query out. The image's size is fixed, so there is no padding to mask: an image of
    other proportions is stretched, and its boxes, which are shares of its sides, with it.

    Args:
        model: A detector of transformers, in evaluation mode. Its attention implementation is set to ``eager``.
        config: The configuration; ``image_size=None`` takes the one that the checkpoint names.

    Raises:
        ExportError: neither the configuration nor the checkpoint names a size.
        NotApplicableError: the configuration asks for what text is needed for.
    """

    max_seq_len = None

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        self.config = config
        self.height, self.width = ready(model, config)
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """What every query finds in an image. The order of the queries means nothing.

        Args:
            pixel_values: [1, channels, height, width], as the checkpoint's image processor makes them.

        Returns:
            [1, queries, classes] logits, of models without a sigmoid a class with one column more, which says that a query
            finds nothing; and [1, queries, 4] boxes: centre x, centre y, width and height as shares of the image's sides.
        """
        output = self.model(pixel_values=pixel_values)
        return output.logits, output.pred_boxes

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, for one image of the fixed size."""
        image = one_image(self.model, self.height, self.width)
        return {"forward": ExportableMethod(module=self, example_inputs=(image,), dynamic_shapes=None, fold=True)}

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.object_detection(self.model, self.config, height=self.height, width=self.width)

    def cache_report(self) -> list[dict[str, Any]]:
        """Nothing: there is no cache."""
        return []
