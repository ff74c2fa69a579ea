"""Which configurations a model is run under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exporters.config import ExportConfig
from zoo.errors import unknown
from zoo.model import Model

CONFIGURATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text-generation": (
            "portable-fp32",
            "xnnpack-fp32",
            "xnnpack-fp32-sdpa-kv",
            "xnnpack-fp32-sdpa-kv-8da4w-emb8w",
        ),
    }
)
"""The configuration ids of each task, in the order of the matrix's columns."""


@dataclass(frozen=True)
class Cell:
    """A model under a configuration: the unit that is run, cached, recorded and reported."""

    model: Model
    configuration: str

    @property
    def name(self) -> str:
        """``model@configuration``."""
        return f"{self.model.name}@{self.configuration}"


def configurations(model: Model) -> tuple[str, ...]:
    """The configuration ids that ``model`` is run under."""
    return CONFIGURATIONS[model.task]


def quantized(configuration: str) -> bool:
    """Whether a configuration id quantizes anything."""
    return ExportConfig.from_id(configuration).quantized


def cells(models: tuple[Model, ...], ids: tuple[str, ...] = ()) -> tuple[Cell, ...]:
    """The cells of models, of the given configurations only if any are given.

    Raises:
        ZooError: an id is not among the configurations of these models' tasks.
        ExportError: an id is none.
    """
    known = {configuration for model in models for configuration in configurations(model)}
    for configuration in ids:
        if configuration not in known:
            ExportConfig.from_id(configuration)
            raise unknown("configuration", configuration, known, hint="'zoo list --configurations' shows them.")
    return tuple(
        Cell(model, configuration)
        for model in models
        for configuration in configurations(model)
        if not ids or configuration in ids
    )
