"""Loads a model that looks at images as an exportable module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from conformance import shipping
from exporters.config import ExportConfig
from exporters.pipeline import load_quantized, register_operators, trace_wrapper
from exporters.wrappers.multimodal import MultiModalTextToTextExportableModule

__all__ = ["ImageTextToTextExportableModule", "load_image_text_to_text_model"]
TASK = "image-text-to-text"
INSTEAD = {
    "ImageEncoderExportableModule": "load_image_text_to_text_model(...).methods()['vision_encoder'].module is it",
    "TorchExportableModuleForImageTextLM": "load_image_text_to_text_model(...).methods()['text_decoder'].module is it",
    "TorchExportableModuleWithHybridCache": "exporters.wrappers.causal_lm.CausalLMExportableModule has sliding and full caches",
}
"""Classes of ``executorch.extension.llm.optimum`` that are not here, and what is in their place."""


def __getattr__(name: str) -> Any:
    if name in INSTEAD:
        raise ImportError(f"there is no {name}: {INSTEAD[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class ImageTextToTextExportableModule(MultiModalTextToTextExportableModule):
    """A model that looks at images and writes, ready to be traced."""

    def export(self) -> dict[str, Any]:
        """The ``torch.export.ExportedProgram`` of each method, by its name."""
        with torch.no_grad():
            return trace_wrapper(self).programs


def load_image_text_to_text_model(
    model_name_or_path: str | os.PathLike[str],
    *,
    use_custom_sdpa: bool = False,
    use_custom_kv_cache: bool = False,
    qlinear: bool | str = False,
    qembedding: bool | str = False,
    dtype: str = "fp32",
    max_seq_len: int | None = None,
    **options: Any,
) -> ImageTextToTextExportableModule:
    """A checkpoint as an exportable module, quantized.

    Args:
        model_name_or_path: A checkpoint directory, a name of the registry, or a hub id.
        use_custom_sdpa: As in ``ExportConfig``.
        use_custom_kv_cache: As in ``ExportConfig``.
        qlinear: ``True`` stands for ``8da4w``, or a name as in ``ExportConfig``.
        qembedding: ``True`` stands for ``8w``, or a name as in ``ExportConfig``.
        dtype: As in ``ExportConfig``.
        max_seq_len: As in ``ExportConfig``.
        options: Further ones of ``ExportConfig``.

    Raises:
        ExportError: an option cannot be honoured for this model, or the checkpoint cannot be loaded.
        ZooError: there is no such model.
    """
    config = ExportConfig.from_mapping(
        {
            "use_custom_sdpa": use_custom_sdpa,
            "use_custom_kv_cache": use_custom_kv_cache,
            "qlinear": ("8da4w" if qlinear is True else qlinear) or None,
            "qembedding": ("8w" if qembedding is True else qembedding) or None,
            "dtype": dtype,
            "max_seq_len": max_seq_len,
            **options,
        }
    )
    register_operators()
    checkpoint: Path = shipping.checkpoint(os.fspath(model_name_or_path), scale="twin", revision=None)
    with torch.no_grad():
        model, _ = load_quantized(checkpoint, config, task=TASK)
        return ImageTextToTextExportableModule(model, config)
