"""Lowers an exportable module with XNNPACK."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch

from exporters.lowering import lowering
from exporters.pipeline import emit, lower, trace_wrapper
from exporters.wrappers import Wrapper


def export_to_executorch_with_xnnpack(module: Wrapper) -> Any:
    """The program of an exportable module.

    Args:
        module: As ``load_image_text_to_text_model`` makes it, for the recipe ``xnnpack``. It can be exported once.

    Returns:
        An ``executorch.exir.ExecutorchProgramManager``, with ``buffer`` and ``write_to_file``.
    """
    config = dataclasses.replace(module.config, recipe="xnnpack")
    with torch.no_grad(), warnings.catch_warnings(), lowering(stock=False):
        warnings.simplefilter("ignore")
        return emit(lower(trace_wrapper(module), config), config)
