"""What turns an image or a sound into embeddings of a language model: one module for each way that architectures do it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_window_index

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

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the fixed size."""
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

    def example(self) -> tuple[Tensor, ...]:
        channels = self.model.config.vision_config.num_channels
        return (torch.zeros(1, channels, self.height, self.width, dtype=self.model.dtype),)

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
        core.vision_model(*self.example())
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


class PatchedImageEncoder(ModalityEncoder):
    """Qwen2.5-VL: an image as its processor cuts it into patches, most layers attending within windows.

    transformers works out windows, rotations and lengths from the image's size with loops over data; of images of one size they
    are always the same, and are worked out here once.
    """

    method, modality = "vision_encoder", "image"

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config)
        visual = model.base_model.visual
        side = image_size(model, config)[0]
        unit = visual.patch_size * visual.spatial_merge_size
        if side % unit:
            raise ExportError(f"image_size {side} cannot be had: {unit} by {unit} pixels become an embedding; give a multiple.")
        self.side = side
        count = side // visual.patch_size
        self.grid = side // unit
        seen: list[dict[str, Any]] = []
        hooks = [
            block.register_forward_pre_hook(lambda _, args, given: seen.append(given), with_kwargs=True)
            for block in visual.blocks
        ]
        grid = torch.tensor([[1, count, count]])
        visual(self.example()[0][0], grid_thw=grid)
        for hook in hooks:
            hook.remove()
        self.lengths = [given["cu_seqlens"].diff().tolist() for given in seen]
        self.cosine: Tensor
        self.sine: Tensor
        self.order: Tensor
        cosine, sine = seen[0]["position_embeddings"]
        order, _ = get_vision_window_index(
            grid, spatial_merge_size=visual.spatial_merge_size, window_size=visual.window_size, patch_size=visual.patch_size
        )
        self.register_buffer("cosine", cosine.clone(), persistent=False)
        self.register_buffer("sine", sine.clone(), persistent=False)
        self.register_buffer("order", order.clone(), persistent=False)
        self.register_buffer("back", torch.argsort(order), persistent=False)

    def example(self) -> tuple[Tensor, ...]:
        visual = self.model.base_model.visual
        vision = self.model.config.vision_config
        width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        return (torch.zeros(1, (self.side // visual.patch_size) ** 2, width, dtype=self.model.dtype),)

    def constants(self) -> dict[str, Any]:
        return {
            "get_image_height": self.side,
            "get_image_width": self.side,
            "get_image_grid_height": self.grid,
            "get_image_grid_width": self.grid,
        }

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The embeddings of an image.

        Args:
            pixel_values: [1, patches, channels x frames x height x width of a patch].

        Returns:
            [1, tokens, hidden].
        """
        visual = self.model.base_model.visual
        # A convolution whose steps are as wide as its kernel; there are no kernels for three dimensions.
        states = nn.functional.linear(pixel_values[0], visual.patch_embed.proj.weight.flatten(1))
        merged = visual.spatial_merge_unit
        states = states.reshape(len(self.order), merged, -1)[self.order].reshape(len(self.order) * merged, -1)
        for block, lengths in zip(visual.blocks, self.lengths, strict=True):
            states = states + self._attend(block.attn, block.norm1(states), lengths)
            states = states + block.mlp(block.norm2(states))
        features: Tensor = visual.merger(states)[self.back]
        return features.unsqueeze(0)

    def _attend(self, attention: Any, states: Tensor, lengths: list[int]) -> Tensor:
        """Attention [patches, hidden] within segments of so many patches each."""
        patches = states.shape[0]
        query, key, value = attention.qkv(states).reshape(patches, 3, attention.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
        query, key = apply_rotary_pos_emb_vision(query, key, self.cosine, self.sine)
        if len(set(lengths)) == 1:  # segments of one size at once
            parts = [[each.reshape(len(lengths), lengths[0], *each.shape[1:]) for each in (query, key, value)]]
        else:
            split = (torch.split(each, lengths) for each in (query, key, value))
            parts = [[each.unsqueeze(0) for each in part] for part in zip(*split, strict=True)]
        answers = torch.cat([_attention(part, attention.scaling).flatten(0, 1) for part in parts])
        projected: Tensor = attention.proj(answers.reshape(patches, -1))
        return projected


def _attention(states: list[Tensor], scaling: float) -> Tensor:
    """Attention of queries, keys and values [segments, n, heads, width], of each segment by itself."""
    query, key, value = (each.transpose(1, 2) for each in states)
    weights = torch.softmax(query @ key.transpose(2, 3) * scaling, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2)


class SoundEncoder(ModalityEncoder):
    """Voxtral: the log-mel frames of a sound of one length, silence included, as its feature extractor makes them."""

    method, modality = "audio_encoder", "audio"

    @property
    def _frames(self) -> int:
        # Two convolutions, of which the second takes every other frame.
        return 2 * int(self.model.config.audio_config.max_source_positions)

    def example(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.model.config.audio_config.num_mel_bins, self._frames, dtype=self.model.dtype),)

    def constants(self) -> dict[str, Any]:
        return {"get_num_mel_bins": self.model.config.audio_config.num_mel_bins, "get_num_frames": self._frames}

    def forward(self, input_features: Tensor) -> Tensor:
        """The embeddings of a sound.

        Args:
            input_features: [1, mel bins, frames].

        Returns:
            [1, tokens, hidden].
        """
        features: Tensor = self.model.get_audio_features(input_features, return_dict=True).pooler_output
        return features.reshape(1, -1, features.shape[-1])


class MaskedSoundEncoder(SoundEncoder):
    """Qwen2-Audio: frames beyond a sound's end are not listened to, and become no embeddings."""

    def example(self) -> tuple[Tensor, ...]:
        return (*super().example(), torch.ones(1, self._frames, dtype=torch.long))

    def forward(self, input_features: Tensor, feature_attention_mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The embeddings of a sound.

        Args:
            input_features: [1, mel bins, frames].
            feature_attention_mask: [1, frames] int64, 1 for a frame of the sound and 0 for one behind its end.

        Returns:
            [1, tokens, hidden], and [1] int64: how many of them, from the first on, are the sound's.
        """
        core = self.model.base_model
        length, count = core.audio_tower._get_feat_extract_output_lengths(feature_attention_mask.sum(-1))
        places = torch.arange(self._frames // 2)
        heard = torch.where(places < length, 0.0, torch.finfo(self.model.dtype).min).to(self.model.dtype)
        states = core.audio_tower(input_features, attention_mask=heard[None, None, None, :]).last_hidden_state
        return core.multi_modal_projector(states), count


class PairedFramesEncoder(ModalityEncoder):
    """Granite Speech: pairs of log-mel frames, in blocks that attend within themselves; ``max_source_len`` pairs, of which a
    shorter sound is filled up with silence."""

    method, modality = "audio_encoder", "audio"

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config)
        self.frames = config.max_source_len or DEFAULT_PAIRS
        context = model.config.encoder_config.context_size
        if self.frames % context:
            raise ExportError(
                f"max_source_len {self.frames} cannot be had: the encoder attends within blocks of {context} pairs of frames; "
                "give a multiple."
            )

    def example(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.frames, self.model.config.encoder_config.input_dim, dtype=self.model.dtype),)

    def constants(self) -> dict[str, Any]:
        return {"get_num_mel_bins": self.model.config.encoder_config.input_dim // 2, "get_num_frames": 2 * self.frames}

    def forward(self, input_features: Tensor) -> Tensor:
        """[1, pairs of frames, 2 x mel bins] to [1, tokens, hidden]."""
        core = self.model.base_model
        encoder = core.encoder
        states = encoder.input_linear(input_features)
        for index, layer in enumerate(encoder.layers, start=1):
            states = 0.5 * layer.ff1(states) + states
            states = self._attend(layer.attn, states) + states
            states = layer.conv(states) + states
            states = layer.post_norm(0.5 * layer.ff2(states) + states)
            if index == encoder.num_layers // 2:
                states = states + encoder.out_mid(torch.softmax(encoder.out(states), dim=-1))
        features: Tensor = core.projector(states)
        return features

    def _attend(self, attention: Any, states: Tensor) -> Tensor:
        """Attention within blocks, spelled out: what torch 2.13.0 traces of transformers' call of SDPA cannot be lowered
        ("Cannot view a tensor")."""
        states = attention.pre_norm(states)
        blocks = self.frames // attention.context_size
        query, key, value = (
            each.reshape(blocks, attention.context_size, attention.num_heads, attention.dim_head).transpose(1, 2)
            for each in (attention.to_q(states), *attention.to_kv(states).chunk(2, dim=-1))
        )
        distances = attention.rel_pos_emb(self.model.base_model.encoder.attention_dists)  # [block, block, width]
        # For each place of a query the products with its own row of distances.
        places = query.permute(2, 0, 1, 3).reshape(attention.context_size, -1, attention.dim_head)
        bias = torch.bmm(places, distances.transpose(1, 2)).reshape(
            attention.context_size, blocks, attention.num_heads, attention.context_size
        )
        scores = (query @ key.transpose(2, 3) + bias.permute(1, 2, 0, 3)) * attention.scale
        answers = torch.softmax(scores, dim=-1) @ value
        answered: Tensor = attention.to_out(answers.transpose(1, 2).reshape(1, self.frames, -1))
        return answered


DEFAULT_PAIRS = 600
"""Pairs of frames that Granite Speech is exported for: 12 seconds."""
ENCODERS: Mapping[str, type[ModalityEncoder]] = MappingProxyType(
    {
        "gemma3": ImageEncoder,
        "granite_speech": PairedFramesEncoder,
        "idefics3": TiledImageEncoder,
        "internvl": ImageEncoder,
        "llava": ImageEncoder,
        "qwen2_5_vl": PatchedImageEncoder,
        "qwen2_audio": MaskedSoundEncoder,
        "smolvlm": TiledImageEncoder,
        "voxtral": SoundEncoder,
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
