"""The stages from a checkpoint to an artifact, each timed: quantize, export, lower, emit."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exporters.artifact import (
    ACCOUNT,
    PROGRAM,
    Account,
    Artifact,
    Delegation,
    LinearWeights,
    Realised,
    StageTime,
    program_file,
    sha256,
)
from exporters.config import ExportConfig
from exporters.debugging import DebugFiles
from exporters.errors import ExportError, unknown_option
from exporters.lowering import lowering
from exporters.wrappers import Wrapper
from exporters.writing import naming, together

STACK = ("torch", "transformers", "executorch", "torchao")
NO_DEBUG_FILES = DebugFiles()


OnStage = Callable[[str, StageTime | None], None]
"""Called with a stage's name when it begins, and with its name and figures when it has ended well."""


class StageClock:
    """Times stages, and announces each as it begins and ends."""

    def __init__(self, announce: OnStage | None = None) -> None:
        self.times: list[StageTime] = []
        self._announce = announce or (lambda name, time: None)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside; a stage that fails leaves no time."""
        self._announce(name, None)
        began = time.perf_counter()
        yield
        ended = StageTime(name=name, seconds=time.perf_counter() - began, peak_memory_bytes=peak_memory_bytes())
        self.times.append(ended)
        self._announce(name, ended)


def peak_memory_bytes() -> int:
    """Highest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def torch_dtype(dtype: str) -> Any:
    """The ``torch.dtype`` of a configuration's ``dtype``."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]


AUTO_CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
    "feature-extraction": "AutoModel",
    "image-classification": "AutoModelForImageClassification",
    "image-text-to-text": "AutoModelForImageTextToText",
    "audio-text-to-text": "AutoModelForMultimodalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
    "object-detection": "AutoModelForObjectDetection",
}
"""transformers' class for each task."""


def load_model(checkpoint: Path, *, task: str = "text-generation", dtype: str = "fp32", attention: str = "eager") -> Any:
    """The checkpoint's model in evaluation mode, without gradients.

    Safetensors only, and never code that comes with a checkpoint.

    Args:
        checkpoint: A checkpoint directory.
        task: ``feature-extraction`` takes the model without its output layer.
        dtype: ``fp32``, ``fp16`` or ``bf16``.
        attention: transformers' attention implementation.

    Raises:
        ExportError: transformers cannot load it.
    """
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    if task not in AUTO_CLASSES:
        raise unknown_option("task", task, AUTO_CLASSES)
    try:
        model, loading = getattr(transformers, _auto_class(checkpoint, task)).from_pretrained(
            checkpoint,
            dtype=torch_dtype(dtype),
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ExportError(f"cannot load the checkpoint {checkpoint}: {' '.join(str(error).split())[:600]}") from error
    absent = [*loading["missing_keys"], *loading["mismatched_keys"]]
    if absent:
        named = ", ".join(sorted(str(key) for key in absent)[:5])
        raise ExportError(
            f"the checkpoint {checkpoint} does not have {len(absent)} of the weights its config.json asks for ({named}); they "
            "would be random. Take the config.json that belongs to the weights."
        )
    if task == "feature-extraction" and getattr(model, "pooler", None) is not None:
        model.pooler = None  # the answer is every token's state, and not what BERT's pooler makes of the first one's
    return model.eval().requires_grad_(False)


def _auto_class(checkpoint: Path, task: str) -> str:
    """transformers' class for a checkpoint: of models that listen, some have a decoder, and others spell with CTC."""
    if task == "automatic-speech-recognition":
        from transformers.models.auto.modeling_auto import MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES

        path = checkpoint / "config.json"
        model_type = json.loads(path.read_text(encoding="utf-8")).get("model_type") if path.is_file() else None
        if model_type not in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES:
            return "AutoModelForCTC"
    return AUTO_CLASSES[task]


@dataclasses.dataclass(frozen=True)
class Traced:
    """A model as ``torch.export`` sees it, ready to be lowered."""

    programs: dict[str, Any]
    """Method: its ``torch.export.ExportedProgram``."""
    constant_methods: dict[str, Any]
    wrapper: str
    """The class of the exportable module."""
    max_seq_len: int | None
    cache: list[dict[str, Any]]
    """Kind, capacity and window of each cache layer."""
    quantization: Any = None
    """What was quantized while tracing, an ``exporters.quantize.QuantizationReport``; ``None`` if nothing was."""


def export(
    checkpoint: str | os.PathLike[str],
    config: ExportConfig,
    output: str | os.PathLike[str],
    *,
    task: str = "text-generation",
    name: str = PROGRAM,
    debug: DebugFiles = NO_DEBUG_FILES,
    stock_lowering: bool = False,
    on_stage: OnStage | None = None,
) -> Artifact:
    """Export a checkpoint to ``output/model.pte`` and write ``output/export.json`` beside it.

    Args:
        checkpoint: A checkpoint directory: config.json, safetensors weights.
        config: What is asked for.
        output: A directory; it is made if needed. Files of the same names are replaced.
        task: A key of ``exporters.wrappers.TASKS``.
        name: What the ``.pte`` is called.
        debug: Further files to write into ``output``.
        stock_lowering: Lower as upstream does, without ``exporters.lowering``: the same bytes, later.
        on_stage: Told of each stage as it begins and ends.

    Returns:
        The artifact, whose account holds the seconds and memory of each stage.

    Raises:
        ExportError: an option cannot be honoured for this model, or the checkpoint cannot be loaded.
        Exception: whatever torch.export or ExecuTorch raise; ``on_stage`` has named the stage.
    """
    import torch

    register_operators()
    source, target = Path(checkpoint), Path(output)
    clock = StageClock(on_stage)
    with together(target) as scratch:
        with torch.no_grad(), warnings.catch_warnings(), lowering(stock=stock_lowering) as accelerations:
            warnings.simplefilter("ignore")
            with clock.stage("quantize"):
                model, quantization = load_quantized(source, config, task=task)
            with clock.stage("export"):
                traced = trace(model, task, config)
                if traced.quantization is not None:
                    quantization = quantization.joined(traced.quantization)
            shared_embedding = _shares_embedding(traced)
            with clock.stage("lower"):
                edge = lower(traced, config, etrecord=debug.etrecord)
                delegation = _delegation(edge, list(traced.programs))
                linear_weights = _linear_weights(edge, list(traced.programs))
            with clock.stage("emit"):
                emitted = emit(edge, config)
                with naming(target), (scratch / name).open("wb") as file:
                    emitted.write_to_file(file)
        plan = {entry.name: entry for entry in emitted.executorch_program.execution_plan}
        account = Account(
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            model_type=model.config.model_type,
            task=task,
            wrapper=traced.wrapper,
            methods=sorted(traced.programs),
            configuration_id=config.id,
            configuration=config.to_mapping(),
            max_seq_len=traced.max_seq_len,
            checkpoint_sha256=checkpoint_sha256(source),
            versions={package: importlib.metadata.version(package) for package in STACK},
            stages=clock.times,
            accelerations=list(accelerations),
            file=program_file(scratch / name),
            constant_methods=traced.constant_methods,
            cache=traced.cache,
            delegation=delegation,
            quantization=json.loads(json.dumps(dataclasses.asdict(quantization))),
            realised=Realised(
                operators=sorted({operator.name for method in traced.programs for operator in plan[method].operators}),
                backends=sorted({delegate.id for method in traced.programs for delegate in plan[method].delegates}),
                linear_weights=linear_weights,
                shared_embedding=shared_embedding,
            ),
        )
        with naming(target):
            (scratch / ACCOUNT).write_text(account.model_dump_json(indent=1), encoding="utf-8")
    debug.write(emitted, account.methods, target)
    return Artifact(target, account)


def load_quantized(checkpoint: Path, config: ExportConfig, *, task: str) -> tuple[Any, Any]:
    """The checkpoint's model, quantized and prepared for the recipe as the configuration asks, and what was quantized.

    Returns:
        A transformers model and an ``exporters.quantize.QuantizationReport``.

    Raises:
        ExportError: as ``load_model`` and ``exporters.quantize.quantize`` do.
    """
    from exporters import recipes
    from exporters.quantize import quantize
    from exporters.spelling import spell_out_linear_layers

    model = load_model(checkpoint, task=task, dtype=config.dtype)
    spell_out_linear_layers(model)
    quantization = quantize(model, config)
    recipes.prepare(model, config)
    return model, quantization


def register_operators() -> None:
    """Make the custom operators and the quantized kernels known to torch and to the runtime."""
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401


def trace(model: Any, task: str, config: ExportConfig) -> Traced:
    """Wrap a model, quantized as the configuration asks, and run ``torch.export`` on each method."""
    from exporters.wrappers import wrap

    return trace_wrapper(wrap(model, task, config))


def trace_wrapper(wrapper: Wrapper) -> Traced:
    """Run ``torch.export`` on each method of an exportable module."""
    import torch

    from exporters.folding import fold_constants
    from exporters.metadata import with_metadata
    from exporters.pt2e import quantize_program

    # Before anything that takes long: a refusal comes at once.
    methods = wrapper.methods()
    constants = with_metadata(wrapper.constant_methods(), wrapper.config.metadata, methods)
    programs = {
        name: torch.export.export(
            method.module,
            method.example_inputs,
            dynamic_shapes=method.dynamic_shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=method.deferred,
        )
        for name, method in methods.items()
    }
    programs |= {name: fold_constants(programs[name]) for name, method in methods.items() if method.fold}
    quantization = None
    if wrapper.config.pt2e_quantize is not None:
        ((name, method),) = methods.items()
        programs[name], quantization = quantize_program(programs[name], method, wrapper.config)
    return Traced(
        programs,
        constants,
        type(wrapper).__name__,
        wrapper.max_seq_len,
        wrapper.cache_report(),
        quantization,
    )


def lower(traced: Traced, config: ExportConfig, *, etrecord: bool = False) -> Any:
    """Run the recipe's passes and partitioners.

    A traced model can be lowered once: upstream's lowering changes its programs. With ``etrecord`` a copy of them is kept, for
    ``get_etrecord`` of what is emitted.

    Returns:
        An ``executorch.exir.EdgeProgramManager``.
    """
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    from exporters import recipes

    for program in traced.programs.values():
        recipes.fix(config, program)
    with recipes.patched(config):
        return to_edge_transform_and_lower(
            traced.programs,
            partitioner=recipes.partitioners(config),
            constant_methods=traced.constant_methods,
            # llama::* are not core ATen operators, and XNNPACK takes no dim-order operators (executorch 1.4.1).
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
            generate_etrecord=etrecord,
        )


def emit(edge: Any, config: ExportConfig) -> Any:
    """Plan memory and serialize.

    Returns:
        An ``executorch.exir.ExecutorchProgramManager``.
    """
    from executorch.exir import ExecutorchBackendConfig

    # Fusing turns dequantize + embedding into the quantized embedding kernel.
    return edge.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=config.quantized))


def checkpoint_sha256(directory: Path) -> str:
    """SHA-256 over the names and bytes of what determines a checkpoint's behaviour: configuration, weights, tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.suffix in {".json", ".safetensors", ".model"} and path.name not in {"manifest.json", "reference.json"}:
            digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _delegation(edge: Any, methods: list[str]) -> Delegation:
    from executorch.devtools.backend_debug import get_delegation_info

    delegated: collections.Counter[str] = collections.Counter()
    undelegated: collections.Counter[str] = collections.Counter()
    delegates = 0
    for method in methods:
        info = get_delegation_info(edge.exported_program(method).graph_module)
        delegates += info.num_delegated_subgraphs
        for operator, breakdown in info.delegation_by_operator.items():
            delegated[operator] += breakdown.delegated
            undelegated[operator] += breakdown.non_delegated
    return Delegation(
        delegates=delegates,
        delegated={name: count for name, count in sorted(delegated.items()) if count},
        undelegated={name: count for name, count in sorted(undelegated.items()) if count},
    )


def _shares_embedding(traced: Traced) -> bool:
    """Whether the weight of an embedding is used by anything else, as a tied output layer does."""
    import torch

    return any(
        node.target is torch.ops.aten.embedding.default and len(node.args[0].users) > 1 and node.args[0].op == "placeholder"
        for program in traced.programs.values()
        for node in program.graph.nodes
    )


def _linear_weights(edge: Any, methods: list[str]) -> list[LinearWeights]:
    """The quantized weights of linear layers, read off the graphs that delegates compile and the graph around them.

    A weight stands in a delegated graph as ``dequantize_affine(weight, block_size, ...)`` or, quantized after tracing, as
    ``dequantize_per_channel(weight, scales, ...)``, with the bounds of its bits; outside of delegates it is an argument of
    ``mixed_linear(input, weight, scales, ...)``. One that several layers share counts once.
    """
    from executorch.exir.lowered_backend_module import get_lowered_submodules

    kinds: dict[str, tuple[int, int]] = {}  # bits and group size by the weight's name in the model
    for method in methods:
        program = edge.exported_program(method)
        for _, lowered, _ in get_lowered_submodules(program.graph_module):
            names = _weight_names(lowered.original_module)
            for node in lowered.original_module.graph.nodes:
                if "dequantize_per_channel" in str(node.target) and node.args[0].op == "placeholder":
                    bits = int(node.args[5] - node.args[4]).bit_length()
                    kinds[names[node.args[0].name]] = bits, int(node.args[0].meta["val"].shape[-1])
                elif "dequantize_affine" in str(node.target) and node.args[0].op == "placeholder":
                    bits = int(node.args[6] - node.args[5]).bit_length()
                    kinds[names[node.args[0].name]] = bits, int(node.args[1][-1])
        names = _weight_names(program)
        for node in program.graph_module.graph.nodes:
            if "mixed_linear" in str(node.target):
                kinds[names[node.args[1].name]] = 8, int(node.args[1].meta["val"].shape[-1])
    found = collections.Counter(kinds.values())
    return [LinearWeights(bits=bits, group_size=size, count=count) for (bits, size), count in sorted(found.items())]


def _weight_names(program: Any) -> dict[str, str]:
    """The names in the model of what a graph takes as inputs, by the inputs' names."""
    signature = program.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
