"""``CTCExportableModule``: models that listen and spell what they hear, a letter for each frame (CTC, Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from exporters import metadata
from exporters.attention.implementation import set_attention
from exporters.config import ExportConfig
from exporters.errors import NotApplicableError
from exporters.wrappers import ExportableMethod, refuse_cache_options
from exporters.wrappers.source import source_of


class CTCExportableModule(nn.Module):
    """A sound in, the logits of the letter in each of its frames out. The best ones, repetitions once and blanks left out, are
    the transcript.

    Args:
        model: A transformers model with a CTC head, in evaluation mode. Its attention implementation is set to ``eager``, and
            weights that it computes from others (Wav2Vec2's convolution of positions) become plain ones.
        config: The configuration; ``max_source_len=None`` takes 30 seconds.

    Raises:
        ExportError: the checkpoint does not say how its sounds are sampled.
        NotApplicableError: the configuration asks for what text is needed for.
    """

    max_seq_len = None

    def __init__(self, model: PreTrainedModel, config: ExportConfig) -> None:
        super().__init__()
        refuse_cache_options(model, config)
        if config.qembedding is not None or config.use_shared_embedding:
            raise NotApplicableError(f"{type(model).__name__} listens: it has no embedding of tokens.")
        self.config = config
        self.source = source_of(model, config)
        set_attention(model, "eager")
        for module in list(model.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self.model = model

    def forward(self, source: Tensor) -> Tensor:
        """The logits of a sound.

        Args:
            source: [1, samples], as the checkpoint's feature extractor makes them.

        Returns:
            [1, frames, vocabulary].
        """
        logits: Tensor = self.model(**{self.source.name: source}).logits
        return logits

    def methods(self) -> Mapping[str, ExportableMethod]:
        """``forward``, for a sound of any length up to ``max_source_len``."""
        read = torch.export.Dim("source", min=self.source.shortest, max=self.source.longest)
        return {
            "forward": ExportableMethod(
                module=self,
                example_inputs=self.source.example(self.model.dtype),
                dynamic_shapes=({self.source.axis: read},),
                deferred=True,
            )
        }

    def constant_methods(self) -> Mapping[str, Any]:
        return metadata.ctc(self.model, self.config) | metadata.source(
            longest=self.source.longest,
            shortest=self.source.shortest,
            dynamic=self.source.dynamic,
            sampling_rate=self.source.sampling_rate,
            features=self.source.features,
        )

    def cache_report(self) -> list[dict[str, Any]]:
        """Nothing: there is no cache."""
        return []
