"""``MultiModalTextToTextExportableModule``: language models that also look at images, or listen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporters import metadata
from exporters.config import ExportConfig
from exporters.wrappers import ExportableMethod
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
        self.config = config
        self.model = model
        self.decoder = CausalLMExportableModule(model, config, embeddings=True)
        self.max_seq_len = self.decoder.max_seq_len
        self.encoder = modality_encoder(model, config)

    def methods(self) -> Mapping[str, ExportableMethod]:
        """The decoder and the embedding with 1 to ``max_seq_len`` tokens, or exactly 1; the encoder for one input."""
        dynamic = self.config.dynamic_shapes
        tokens = torch.zeros(1, min(3, self.max_seq_len) if dynamic else 1, dtype=torch.long)
        length = torch.export.Dim("length", min=1, max=self.max_seq_len)
        return {
            "token_embedding": ExportableMethod(TokenEmbedding(self.model), (tokens,), ({1: length},) if dynamic else None),
            self.encoder.method: ExportableMethod(self.encoder, (self.encoder.example(),), None),
            "text_decoder": self.decoder.methods()["forward"],
        }

    def constant_methods(self) -> Mapping[str, Any]:
        features = self.encoder(self.encoder.example()).shape[1]
        return metadata.multimodal(self.decoder.constant_methods(), self.encoder, features=features)

    def cache_report(self) -> list[dict[str, Any]]:
        return self.decoder.cache_report()
