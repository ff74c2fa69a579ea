"""transformers' exporters, with our workarounds applied around them. Imported when something is exported."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from transformers.exporters import configs, exporter_dynamo, exporter_executorch, exporter_onnx, utils
from transformers.utils import logging as transformers_logging

from exporters import recipes, workarounds
from exporters.auto.configs import DynamoConfig, ExecutorchConfig, OnnxConfig
from exporters.config import ExportConfig

COMMON = ("dynamic", "strict", "dynamic_shapes", "prefer_deferred_runtime_asserts_over_guards")


class _Tracer(exporter_dynamo.DynamoExporter):  # type: ignore[misc]
    """transformers' trace, and our fixes over it."""

    backends: tuple[str, ...] = ("dynamo",)
    traced: Any = None

    def export_program(self, model: Any, sample_inputs: MutableMapping[str, Any], config: Any) -> tuple[Any, Any]:
        program, metadata = super().export_program(model, sample_inputs, config)
        _fix(self.backends, program)
        self.traced = program
        return program, metadata


class _OnnxTracer(exporter_onnx.OnnxExporter, _Tracer):  # type: ignore[misc]
    """The ONNX exporter calls its parent class for the trace: that is ``_Tracer``, whose fixes come before its translation."""

    backends = ("dynamo", "onnx")


def trace(model: Any, inputs: Mapping[str, Any], config: DynamoConfig) -> Any:
    """The ``ExportedProgram`` of a model."""
    with _around(("dynamo",), model):
        program, _ = _quiet(_Tracer).export_program(model, dict(inputs), configs.DynamoConfig(**_common(config)))
    return program


def to_onnx(model: Any, inputs: Mapping[str, Any], config: OnnxConfig) -> tuple[Any, Any]:
    """The ``onnx_ir.Model`` of a model, and the ``ExportedProgram`` it was made of."""
    asked = configs.OnnxConfig(**_common(config), opset_version=config.opset_version, optimize=config.optimize)
    progress = contextlib.redirect_stdout(io.StringIO())  # torch.onnx prints its steps
    with _around(("dynamo", "onnx"), model), _without_notes_on_signatures(), progress:
        exporter = _quiet(_OnnxTracer)
        made, _ = exporter.export_program(model, dict(inputs), asked)
    _state_known_dimensions(made)
    return made, exporter.traced


@contextlib.contextmanager
def for_executorch(model: Any, inputs: Mapping[str, Any], config: ExecutorchConfig) -> Iterator[Any]:
    """Trace a model for ExecuTorch and lower it inside the block: transformers' patches of ExecuTorch are in effect there.

    Yields:
        The ``ExportedProgram``, with transformers' fixes.
    """
    dense = exporter_executorch._make_contiguous(dict(inputs))
    xnnpack = utils.apply_patches("executorch.xnnpack") if config.backend == "xnnpack" else contextlib.nullcontext()
    with utils.apply_patches("executorch"), xnnpack:
        with (
            _around(("dynamo",), model),
            recipes.patched(ExportConfig(recipe=config.backend)),
            # No kernel multiplies in groups, neither XNNPACK's nor a portable one.
            exporter_onnx.use_experts_implementation(model, "batched_mm"),
        ):
            program, _ = _quiet(_Tracer).export_program(model, dense, configs.DynamoConfig(**_common(config)))
        utils.apply_fx_program_fixes("executorch", program)
        utils.apply_fx_node_fixes("executorch", program.graph_module)
        yield program


def _common(config: DynamoConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in COMMON}


def _fix(backends: tuple[str, ...], program: Any) -> None:
    for backend in backends:
        workarounds.apply_fx_program_fixes(backend, program)
        workarounds.apply_fx_node_fixes(backend, program.graph_module)


@contextlib.contextmanager
def _around(backends: tuple[str, ...], model: Any) -> Iterator[None]:
    """Our patches, and the model's parameters as they were afterwards."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with contextlib.ExitStack() as stack, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for parameter in trained:
            parameter.requires_grad_(False)
            stack.callback(parameter.requires_grad_, True)
        for backend in backends:
            stack.enter_context(workarounds.apply_patches(backend))
        yield


def _quiet(exporter: Any) -> Any:
    """An exporter, without its note on versions that its own tests did not run: what it makes is checked here."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        return exporter()
    finally:
        transformers_logging.set_verbosity(before)


@contextlib.contextmanager
def _without_notes_on_signatures() -> Iterator[None]:
    """torch 2.13.0 warns of translations of transformers 5.23.0 whose annotations it cannot read, and uses them anyway."""
    noisy = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        yield
    finally:
        noisy.setLevel(before)


def _state_known_dimensions(model: Any) -> None:
    """Give dimensions that are numbers as numbers: torch 2.13.0 writes some as names ("16"), and names take any size."""
    import onnx_ir

    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is not None:
            sizes = [int(str(size.value)) if _is_number(size) else size for size in value.shape]
            value.shape = onnx_ir.Shape(sizes)


def _is_number(size: Any) -> bool:
    return not isinstance(size, int) and str(getattr(size, "value", "")).isdigit()
