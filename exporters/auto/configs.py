"""What is asked of an export: a format, whether shapes are dynamic, and what the format has to choose."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from exporters.errors import ExportError, unknown_option

BACKENDS = ("xnnpack", "portable")
REFUSED_BACKENDS = {
    "cuda": "it compiles for an NVIDIA GPU, and the pinned stack is torch without CUDA",
    "mlx": "it compiles for an Apple GPU, and executorch 1.4.1 for Linux comes without it",
}
OPSETS = range(18, 24)
"""Opset versions that onnxscript's library of torch operators is written for, and that onnxruntime runs."""
FORMAT_KEYS = ("format", "export_format")
_Config = TypeVar("_Config", bound="DynamoConfig")


@dataclass(frozen=True, kw_only=True)
class DynamoConfig:
    """An export to an ``ExportedProgram``. Instances are valid: construction raises ``ExportError`` otherwise."""

    export_format: ClassVar[str] = "dynamo"

    dynamic: bool = False
    """Accept inputs of every size: all dimensions of all inputs, except those of size 1 in the sample inputs, which
    ``torch.export`` takes for constants, and those the model's code fixes."""
    strict: bool = False
    """Trace the bytecode with TorchDynamo instead of running the model; slower, and more models fail."""
    dynamic_shapes: Mapping[str, Any] | None = None
    """Input: its dimensions and their ``torch.export.Dim``, as ``torch.export.export`` takes them. Takes precedence over
    ``dynamic``."""
    prefer_deferred_runtime_asserts_over_guards: bool = False
    """Leave what cannot be proved of dynamic shapes to be asserted while running, instead of failing."""
    check: bool = True
    """Run the program on the sample inputs, and on another size where shapes are dynamic, and compare with eager PyTorch."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, bool):
                raise ExportError(f"{field.name} is {value!r}; allowed: True, False.")
        if self.dynamic_shapes is not None and not isinstance(self.dynamic_shapes, Mapping):
            raise ExportError(
                f"dynamic_shapes is {self.dynamic_shapes!r}; give a mapping such as "
                "{'input_ids': {1: torch.export.Dim('length')}}."
            )

    @classmethod
    def from_dict(cls: type[_Config], values: Mapping[str, Any]) -> _Config:
        """A configuration of this class from its fields by name; ``format`` or ``export_format`` may be among them.

        Raises:
            ExportError: an unknown field, or another format's.
        """
        named = _format(values)
        if named not in (None, cls.export_format):
            raise ExportError(f"format {named!r} is not that of {cls.__name__}, {cls.export_format!r}; use AutoExportConfig.")
        fields = {key: value for key, value in values.items() if key not in FORMAT_KEYS}
        allowed = [field.name for field in dataclasses.fields(cls)]
        for key in fields:
            if key not in allowed:
                raise unknown_option(f"field of {cls.__name__}", key, allowed)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, and ``export_format``; ``from_dict`` reads it back."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"export_format": self.export_format, **fields}


@dataclass(frozen=True, kw_only=True)
class OnnxConfig(DynamoConfig):
    """An export to an ONNX graph."""

    export_format: ClassVar[str] = "onnx"

    output_path: str | os.PathLike[str] | None = None
    """Write the graph to this file, too; its directory has to exist."""
    opset_version: int | None = None
    """The version of ONNX's operators; ``None`` takes torch's default."""
    external_data: bool = True
    """Write weights to ``<file>.data`` beside the graph: one file holds no more than 2 GB."""
    optimize: bool = True
    """Fold constants and remove what nothing uses (onnxscript)."""
    export_params: bool = True
    """Write the weights; without them the file is the graph alone."""
    keep_initializers_as_inputs: bool = False
    """Name the weights among the inputs of the graph, so that a caller may give others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.opset_version is not None and self.opset_version not in OPSETS:
            raise ExportError(f"opset_version is {self.opset_version!r}; allowed: {OPSETS[0]} to {OPSETS[-1]}.")
        if self.output_path is not None and (Path(self.output_path).is_dir() or not Path(self.output_path).parent.is_dir()):
            raise ExportError(f"output_path {os.fspath(self.output_path)!r}: give a file in a directory that exists.")


@dataclass(frozen=True, kw_only=True)
class ExecutorchConfig(DynamoConfig):
    """An export to an ExecuTorch program."""

    export_format: ClassVar[str] = "executorch"

    backend: str = "xnnpack"
    """``xnnpack``: its kernels, and the portable ones for what it has none for; ``portable``: those alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend in REFUSED_BACKENDS:
            raise ExportError(f"backend {self.backend!r}: {REFUSED_BACKENDS[self.backend]}. Allowed: {', '.join(BACKENDS)}.")
        if self.backend not in BACKENDS:
            raise unknown_option("backend", self.backend, BACKENDS)


CONFIGS: Mapping[str, type[DynamoConfig]] = {each.export_format: each for each in (ExecutorchConfig, DynamoConfig, OnnxConfig)}
"""The configuration class of each format."""
REFUSED_FORMATS = {"openvino": "what OpenVINO makes of a model is not checked here"}


class AutoExportConfig:
    """Picks the configuration class that a mapping names."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DynamoConfig:
        """The configuration of the format that ``format`` or ``export_format`` names: ``executorch``, ``dynamo`` or ``onnx``.

        Raises:
            ExportError: no format or an unknown one, or a field it does not have.
        """
        named = _format(values)
        if named is None:
            raise ExportError(f"no format; add 'format': {' or '.join(map(repr, CONFIGS))}.")
        if named in REFUSED_FORMATS:
            raise ExportError(f"format {named!r}: {REFUSED_FORMATS[named]}. Allowed: {', '.join(CONFIGS)}.")
        if named not in CONFIGS:
            raise unknown_option("format", named, CONFIGS)
        return CONFIGS[named].from_dict(values)


def _format(values: Mapping[str, Any]) -> str | None:
    if not isinstance(values, Mapping):
        raise ExportError(f"the configuration is {values!r}; give a mapping such as {{'format': 'onnx', 'dynamic': True}}.")
    named = {str(values[key]) for key in FORMAT_KEYS if values.get(key) is not None}
    if len(named) > 1:
        raise ExportError(f"format {values['format']!r} and export_format {values['export_format']!r} differ; give one.")
    return next(iter(named), None)
