"""``MultiModalTextToTextExportableModule``: language models that also look at images, or listen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.config import ExportConfig
from exporters.errors import NotApplicableError
from exporters.wrappers import ExportableMethod, refuse_pt2e
from exporters.wrappers.causal_lm import CausalLMExportableModule
from exporters.wrappers.modalities import modality_encoder


class TokenEmbedding(nn.Module):
    """Token ids in, embeddings out."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """[1, n] int64 to [1, n, hidden]."""
        embeddings: Tensor = self.model.get_input_embeddings()(tokens)
        return embeddings


class LookingAheadDecoder(CausalLMExportableModule):
    """The decoder of an architecture in which the embeddings of an image attend to each other both ways (Gemma 3); it is told
    which ones belong together.

    Raises:
        NotApplicableError: the configuration bounds what a call takes, or asks for an attention sink.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config, embeddings=True)
        for asked, option in (
            (not config.dynamic_shapes, "dynamic_shapes=False"),
            (config.attention_sink, "use_attention_sink"),
            (config.max_prefill_len, "max_prefill_len"),
        ):
            if asked:
                raise NotApplicableError(
                    f"{option}: the embeddings of an image attend to each other both ways in {type(model).__name__}, so they "
                    "have to be fed in one call and kept."
                )

    def forward(self, tokens: Tensor, cache_position: Tensor, blocks: Tensor) -> Tensor:  # type: ignore[override]
        """As ``CausalLMExportableModule.forward``.

        Args:
            tokens: [1, n, hidden] embeddings.
            cache_position: [n] int64.
            blocks: [n] int64: -1 for text, and one number for all the embeddings of an image, which no call may part.
        """
        return self._answer(tokens, cache_position, attention_mask=self._masks(cache_position, blocks))

    def _masks(self, positions: Tensor, blocks: Tensor) -> dict[str, Tensor]:
        """A mask [1, 1, n, keys] to be added, for each kind of layer: what lies before or in the same image is seen, within the
        window where there is one."""
        masks: dict[str, Tensor] = {}
        for layer in self._layers:
            kind = "sliding_attention" if layer.sliding else "full_attention"
            if kind in masks:
                continue
            count, offset = layer.key_positions(positions)
            keys = (torch.arange(count) + offset).unsqueeze(0)
            queries = positions.unsqueeze(1)
            place = keys - positions[:1]
            inside = (place >= 0) & (place < positions.shape[0])
            beside = blocks[place.clamp(min=0).minimum(torch.full_like(place, positions.shape[0] - 1))]
            seen = (keys <= queries) | (inside & (blocks.unsqueeze(1) >= 0) & (beside == blocks.unsqueeze(1)))
            if layer.sliding:
                seen = seen & (keys > queries - self.model.config.get_text_config().sliding_window)
            masks[kind] = torch.where(seen, 0.0, float("-inf")).to(self.model.dtype)[None, None]
        return masks

    def methods(self) -> Mapping[str, ExportableMethod]:
        (method,) = super().methods().values()
        embeddings, positions = method.example_inputs
        shapes = (*method.dynamic_shapes, method.dynamic_shapes[1])
        return {"forward": ExportableMethod(self, (embeddings, positions, torch.full_like(positions, -1)), shapes)}


class GridDecoder(CausalLMExportableModule):
    """The decoder of an architecture whose embeddings of an image have a row and a column (Qwen2.5-VL); it is told them."""

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__(model, config, embeddings=True)

    def forward(self, tokens: Tensor, cache_position: Tensor, grid: Tensor) -> Tensor:  # type: ignore[override]
        """As ``CausalLMExportableModule.forward``.

        Args:
            tokens: [1, n, hidden] embeddings.
            cache_position: [n] int64.
            grid: [3, n] int64: time, row and column of each; of text three times the same, counted on from what came before.
        """
        return self._answer(tokens, cache_position, position_ids=grid.unsqueeze(1))

    def methods(self) -> Mapping[str, ExportableMethod]:
        (method,) = super().methods().values()
        embeddings, positions = method.example_inputs
        shapes = None if method.dynamic_shapes is None else (*method.dynamic_shapes, {1: method.dynamic_shapes[1][0]})
        grid = positions.unsqueeze(0).repeat(3, 1)
        return {"forward": ExportableMethod(self, (embeddings, positions, grid), shapes)}


DECODERS: Mapping[str, Callable[[PreTrainedModel, ExportConfig], CausalLMExportableModule]] = MappingProxyType(
    {"gemma3": LookingAheadDecoder, "qwen2_5_vl": GridDecoder}
)
"""By ``model_type`` the decoders that have to know more than positions."""


class MultiModalTextToTextExportableModule(nn.Module):
    """Three methods: ``token_embedding`` and ``vision_encoder`` or ``audio_encoder`` make embeddings, ``text_decoder``
    continues them. Whoever calls them puts an encoder's embeddings where the text has its placeholders; one call of the encoder
    is for one image or sound, so that a text may have any number of them.

    Args:
        model: A model of transformers that reads text and images or sound, in evaluation mode.
        config: The configuration.

    Raises:
        ExportError: as ``CausalLMExportableModule``; or there is no encoder for the architecture.
        NotApplicableError: the architecture has nothing that the configuration asks to replace.
    """

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        refuse_pt2e(model, config)
        self.config = config
        self.model = model
        plain = functools.partial(CausalLMExportableModule, embeddings=True)
        self.decoder = DECODERS.get(model.config.model_type, plain)(model, config)
        self.max_seq_len = self.decoder.max_seq_len
        self.encoder = modality_encoder(model, config)

    def methods(self) -> Mapping[str, ExportableMethod]:
        """The decoder and the embedding with 1 to ``max_prefill_len`` tokens, or exactly 1; the encoder for one input."""
        dynamic = self.config.dynamic_shapes
        tokens = torch.zeros(1, min(3, self.decoder.max_prefill_len) if dynamic else 1, dtype=torch.long)
        length = torch.export.Dim("length", min=1, max=self.decoder.max_prefill_len)
        return {
            "token_embedding": ExportableMethod(TokenEmbedding(self.model), (tokens,), ({1: length},) if dynamic else None),
            self.encoder.method: ExportableMethod(self.encoder, self.encoder.example(), None),
            "text_decoder": self.decoder.methods()["forward"],
        }

    def constant_methods(self) -> Mapping[str, Any]:
        found = self.encoder(*self.encoder.example())
        features = found if isinstance(found, Tensor) else found[0]
        return metadata.multimodal(self.decoder.constant_methods(), self.encoder, features=features.shape[1])

    def cache_report(self) -> list[dict[str, Any]]:
        return self.decoder.cache_report()
