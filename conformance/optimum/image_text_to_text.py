"""Loads a model that looks at images as an exportable module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from conformance import shipping
from exporters.config import ExportConfig
from exporters.pipeline import load_quantized, register_operators
from exporters.wrappers.multimodal import MultiModalTextToTextExportableModule as ImageTextToTextExportableModule

__all__ = ["ImageTextToTextExportableModule", "load_image_text_to_text_model"]
TASK = "image-text-to-text"


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
