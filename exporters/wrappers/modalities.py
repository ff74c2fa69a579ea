"""What turns an image or a sound into embeddings of a language model: one module for each way that architectures do it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters.config import ExportConfig
from exporters.errors import ExportError
from exporters.wrappers.vision import image_size


class ModalityEncoder(nn.Module):
    """One image or sound in, its embeddings out.

    Args:
        model: A transformers model that also reads text, in evaluation mode.
        config: The configuration.
    """

    method: str
    """The name of the method in the ``.pte``."""
    modality: str
    """``image`` or ``audio``: what the placeholder in a text stands for."""

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        self.model = model

    def example(self) -> Tensor:
        """An input of the fixed size."""
        raise NotImplementedError

    @property
    def token_id(self) -> int:
        """The placeholder in a text, which each embedding takes the place of."""
        configuration = self.model.config
        for name in (f"{self.modality}_token_id", f"{self.modality}_token_index"):
            if getattr(configuration, name, None) is not None:
                return int(getattr(configuration, name))
        raise ExportError(f"the configuration of {type(self.model).__name__} names no {self.modality}_token_id.")

    def constants(self) -> dict[str, Any]:
        """What the ``.pte`` says of the input."""
        raise NotImplementedError


class ImageEncoder(ModalityEncoder):
    """Image encoders that have a ``get_image_features`` without loops over data: Gemma 3, Llava, InternVL."""

    method, modality = "vision_encoder", "image"

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config)
        vision = model.config.vision_config
        self.height, self.width = image_size(model, config)
        named = vision.image_size if isinstance(vision.image_size, int) else vision.image_size[0]
        if (self.height, self.width) != (named, named):
            raise ExportError(f"image_size {self.height} cannot be had: the vision encoder has positions for {named} pixels.")

    def example(self) -> Tensor:
        return torch.zeros(1, self.model.config.vision_config.num_channels, self.height, self.width, dtype=self.model.dtype)

    def constants(self) -> dict[str, Any]:
        return {
            "get_image_height": self.height,
            "get_image_width": self.width,
            "get_num_channels": self.model.config.vision_config.num_channels,
        }

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The embeddings of an image.

        Args:
            pixel_values: [1, channels, height, width], as the checkpoint's image processor makes them.

        Returns:
            [1, tokens, hidden].
        """
        features = self.model.get_image_features(pixel_values, return_dict=True).pooler_output
        return features if isinstance(features, Tensor) else torch.stack(list(features))


class TiledImageEncoder(ImageEncoder):
    """Idefics 3 and SmolVLM: an image, or a tile of a large one, of one size.

    transformers works out which positions the patches of a padded image have, and drops images that are padding; of an image
    that fills its square the positions are always the same, and are worked out here once.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config)
        core = model.base_model
        embeddings = core.vision_model.embeddings
        found: list[Tensor] = []
        hook = embeddings.position_embedding.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        core.vision_model(self.example())
        hook.remove()
        self.positions: Tensor
        self.register_buffer("positions", found[0], persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        core = self.model.base_model
        vision = core.vision_model
        patches = vision.embeddings.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        states = patches + vision.embeddings.position_embedding(self.positions)
        encoded = vision.encoder(inputs_embeds=states, attention_mask=None).last_hidden_state
        features: Tensor = core.connector(vision.post_layernorm(encoded))
        return features


ENCODERS: Mapping[str, type[ModalityEncoder]] = MappingProxyType(
    {
        "gemma3": ImageEncoder,
        "idefics3": TiledImageEncoder,
        "internvl": ImageEncoder,
        "llava": ImageEncoder,
        "smolvlm": TiledImageEncoder,
    }
)
"""By ``model_type``."""


def modality_encoder(model: PreTrainedModel, config: ExportConfig) -> ModalityEncoder:
    """The encoder of a model's images or sounds.

    Raises:
        ExportError: there is none for the architecture, or the model has no positions for the image size.
    """
    found = ENCODERS.get(model.config.model_type)
    if found is None:
        raise ExportError(
            f"the images or sounds of {model.config.model_type} cannot be exported; those of {', '.join(ENCODERS)} can."
        )
    return found(model, config)
