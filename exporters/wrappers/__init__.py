"""The exportable modules: one file a wrapper. A wrapper turns a transformers model into the methods of a ``.pte``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from exporters.config import ExportConfig

TASKS: Mapping[str, str] = MappingProxyType(
    {"text-generation": "CausalLMExportableModule", "feature-extraction": "CausalLMExportableModule"}
)
"""The wrapper of each task."""


@dataclass(frozen=True)
class ExportableMethod:
    """What ``torch.export`` needs to trace one method."""

    module: Any
    """A ``torch.nn.Module`` whose ``forward`` is the method."""
    example_inputs: tuple[Any, ...]
    dynamic_shapes: Any
    """As ``torch.export.export`` takes it; ``None`` for static shapes."""


class Wrapper(Protocol):
    """What the pipeline asks of a wrapper."""

    max_seq_len: int

    def methods(self) -> Mapping[str, ExportableMethod]:
        """The methods of the ``.pte``, by name."""
        ...

    def constant_methods(self) -> Mapping[str, Any]:
        """The metadata of the ``.pte``: methods that return a constant."""
        ...

    def cache_report(self) -> list[dict[str, Any]]:
        """Kind and capacity of each cache layer."""
        ...


def wrap(model: Any, task: str, config: ExportConfig) -> Wrapper:
    """The wrapper of ``task`` around a transformers model in evaluation mode.

    Raises:
        ExportError: the task is unknown, or the model cannot be wrapped.
    """
    from exporters.errors import unknown_option
    from exporters.wrappers.causal_lm import CausalLMExportableModule

    if task not in TASKS:
        raise unknown_option("task", task, TASKS)
    return CausalLMExportableModule(model, config)
