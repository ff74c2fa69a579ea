"""Exports that are not lowered to ExecuTorch: ``.pt2`` (``torch.export.save``) and ``.onnx``, with an account beside them.

A ``.pt2`` holds a method of the wrappers as it would be lowered, KV cache and all. An ONNX graph keeps no state: a decoder
takes the keys and values of what came before, and answers them with those of the call.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import inspect
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from exporters.artifact import ACCOUNT, PROGRAM, StageTime, sha256
from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError, unknown_option
from exporters.pipeline import OnStage, StageClock, checkpoint_sha256, load_model, trace_wrapper
from exporters.writing import for_native_code, naming, together

FORMATS = ("pte", "pt2", "onnx")
"""Of an export: an ExecuTorch program, an ``ExportedProgram``, an ONNX graph."""
STACK = {"pt2": ("torch", "transformers"), "onnx": ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")}
_QUANTIZED = "quantized layers are made for the kernels of a recipe"
_CUSTOM = "it is an operator of ExecuTorch's"
REFUSED = {
    "use_custom_sdpa": _CUSTOM,
    "use_custom_kv_cache": _CUSTOM,
    "quantize_kv_cache": _CUSTOM,
    "use_attention_sink": _CUSTOM,
    "local_global_attention": _CUSTOM,
    "qlinear": _QUANTIZED,
    "qembedding": _QUANTIZED,
    "qlinear_encoder": _QUANTIZED,
    "qembedding_encoder": _QUANTIZED,
    "pt2e_quantize": _QUANTIZED,
    "use_shared_embedding": "it is the recipe 'portable' that stores it once",
    "metadata": "constant methods are a .pte's",
    "max_prefill_len": "it tells runners of a .pte how to feed a prompt",
}
"""What only a ``.pte`` can honour, and why."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GraphFile(_Schema):
    """One method's file."""

    name: str
    bytes: int
    sha256: str
    data: str | None = None
    """The file of its weights, if they are not in it."""
    data_bytes: int = 0
    inputs: list[str]
    outputs: list[str]
    opset_version: int | None = None


class GraphAccount(_Schema):
    """The content of ``export.json`` beside graphs."""

    schema_version: Literal[1] = 1
    format: Literal["pt2", "onnx"]
    created: str
    """UTC, ISO 8601."""
    model_type: str
    task: str
    wrapper: str
    methods: dict[str, GraphFile]
    configuration: dict[str, Any]
    """The options that the format knows."""
    max_seq_len: int | None
    checkpoint_sha256: str
    versions: dict[str, str]
    stages: list[StageTime]
    constant_methods: dict[str, Any]
    """What a ``.pte`` of the same model says of itself."""


@dataclass(frozen=True)
class Graphs:
    """Exported graphs and their account."""

    directory: Path
    account: GraphAccount
    config: ExportConfig

    @property
    def program(self) -> Path:
        """The file of the first method."""
        return self.path(next(iter(self.account.methods)))

    def path(self, method: str) -> Path:
        """The file of a method."""
        return self.directory / self.account.methods[method].name


def refuse(config: ExportConfig, format: str) -> None:
    """Refuse what a format cannot honour.

    Raises:
        ExportError: the configuration asks for it; or there is no such format.
    """
    if format not in FORMATS:
        raise unknown_option("format", format, FORMATS)
    if format == "onnx" and config.dtype == "bf16":
        raise ExportError(
            "dtype 'bf16': onnxruntime 1.31.1 adds no bfloat16 on a CPU, and --format onnx has to run. Take fp32 or fp16."
        )
    for option, reason in REFUSED.items():
        if format != "pte" and getattr(config, option):
            raise ExportError(f"{option}: {reason}, and --format {format} has none. Export without it, or with --format pte.")


def export(
    checkpoint: str | os.PathLike[str],
    config: ExportConfig,
    output: str | os.PathLike[str],
    *,
    task: str,
    format: str,
    check: bool = True,
    on_stage: OnStage | None = None,
) -> Graphs:
    """Export a checkpoint to ``output/model.pt2`` or ``output/model.onnx``, or to a file for each method if there are several.

    Args:
        checkpoint: A checkpoint directory.
        config: What is asked for; its recipe means nothing here.
        output: A directory; it is made if needed. Files of the same names are replaced once all are written.
        task: A key of ``exporters.wrappers.TASKS``.
        format: ``pt2`` or ``onnx``.
        check: Compare what was exported with the module it was exported from.
        on_stage: Told of each stage as it begins and ends.

    Raises:
        ExportError: the format cannot honour an option, or does not take the model; or a graph does not answer what its module
            does.
        Exception: whatever torch.export or torch.onnx raise.
    """
    import torch

    from exporters.wrappers import wrap

    refuse(config, format)
    source, target = Path(checkpoint), Path(output)
    if (target / PROGRAM).exists():
        raise ExportError(f"{target} holds a {PROGRAM}, whose {ACCOUNT} would be replaced; give another --output_dir.")
    if format == "onnx":
        from exporters.auto.onnx_program import check_installed

        check_installed()
    clock = StageClock(on_stage)
    with torch.no_grad(), warnings.catch_warnings(), together(target) as scratch:
        warnings.simplefilter("ignore")
        model = load_model(source, task=task, dtype=config.dtype)
        wrapper = wrap(model, task, config)
        make = {"pt2": _pt2, "onnx": _onnx}[format]
        files = make(wrapper, scratch, check, clock)
        account = GraphAccount(
            format="pt2" if format == "pt2" else "onnx",
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            model_type=model.config.model_type,
            task=task,
            wrapper=type(wrapper).__name__,
            methods=files,
            configuration={name: value for name, value in config.to_mapping().items() if name not in {"recipe", *REFUSED}},
            max_seq_len=wrapper.max_seq_len,
            checkpoint_sha256=checkpoint_sha256(source),
            versions={package: importlib.metadata.version(package) for package in STACK[format]},
            stages=clock.times,
            constant_methods=dict(wrapper.constant_methods()),
        )
        with naming(target):
            (scratch / ACCOUNT).write_text(account.model_dump_json(indent=1), encoding="utf-8")
    return Graphs(target, account, config)


def _pt2(wrapper: Any, directory: Path, check: bool, clock: StageClock) -> dict[str, GraphFile]:
    import torch

    with clock.stage("export"):
        traced = trace_wrapper(wrapper)
    files = {}
    with clock.stage("emit"):
        for name, program in traced.programs.items():
            path = directory / ("model.pt2" if name == "forward" else f"{name}.pt2")
            with naming(directory.parent), for_native_code(path) as file:
                torch.export.save(program, file)
            signature = program.graph_signature
            inputs, outputs = [str(each) for each in signature.user_inputs], [str(each) for each in signature.user_outputs]
            files[name] = _file(path, inputs, outputs)
    if check:
        with clock.stage("compare"):
            for name, method in wrapper.methods().items():
                _compare(directory / files[name].name, method)
    return files


def _compare(path: Path, method: Any) -> None:
    """Compare a ``.pt2``, as it lies on disk, with the module it was made of."""
    import torch

    from exporters.auto.checking import another_size, compare, tensors

    program = torch.export.load(path)
    loaded = program.module()
    for inputs in (method.example_inputs, another_size(program, method.example_inputs)):
        if inputs is not None:
            found = list(tensors(loaded(*inputs)).values())
            compare(tensors(method.module(*inputs)), found, path.name)


def _onnx(wrapper: Any, directory: Path, check: bool, clock: StageClock) -> dict[str, GraphFile]:
    from exporters.auto import OnnxConfig, OnnxExporter

    module, inputs, shapes, deferred = _stateless(wrapper)
    config = OnnxConfig(dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=deferred, check=check)
    with clock.stage("export"):
        program = OnnxExporter().export(module, inputs, config=config)
    with clock.stage("emit"):
        path = directory / "model.onnx"
        with naming(directory.parent):
            program.save(path)
    return {"forward": _file(path, program.inputs, program.outputs, data=f"{path.name}.data", opset=program.opset_version)}


def _stateless(wrapper: Any) -> tuple[Any, Mapping[str, Any], Mapping[str, Any] | None, bool]:
    """What a graph without state is exported from: a module, its inputs by name, their dynamic shapes, and whether to defer."""
    from exporters.wrappers.causal_lm import CausalLMExportableModule
    from exporters.wrappers.stateless import DecoderWithPast, NamedAnswers

    if isinstance(wrapper, CausalLMExportableModule):
        decoder = DecoderWithPast(wrapper.model, wrapper.config, wrapper.max_seq_len).eval()
        return decoder, decoder.example_inputs(), decoder.dynamic_shapes(), True
    methods = wrapper.methods()
    if list(methods) != ["forward"]:
        raise NotApplicableError(
            f"format onnx: the graphs of {', '.join(methods)} would need state between them. exporters.auto exports the "
            "components of such a model (OnnxExporter().export_for_generation); or take --format pt2."
        )
    method = methods["forward"]
    names = list(inspect.signature(method.module.forward).parameters)
    inputs = dict(zip(names, method.example_inputs, strict=True))
    shapes = None if method.dynamic_shapes is None else dict(zip(names, method.dynamic_shapes, strict=True))
    return NamedAnswers(method.module).eval(), inputs, shapes, method.deferred


def _file(path: Path, inputs: list[str], outputs: list[str], *, data: str | None = None, opset: int | None = None) -> GraphFile:
    return GraphFile(
        name=path.name,
        bytes=path.stat().st_size,
        sha256=sha256(path),
        data=data,
        data_bytes=(path.parent / data).stat().st_size if data is not None else 0,
        inputs=inputs,
        outputs=outputs,
        opset_version=opset,
    )
