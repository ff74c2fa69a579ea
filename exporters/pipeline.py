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

from exporters.artifact import ACCOUNT, PROGRAM, Account, Artifact, Delegation, ProgramFile, Realised, StageTime, sha256
from exporters.config import ExportConfig
from exporters.errors import ExportError

STACK = ("torch", "transformers", "executorch", "torchao")


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


def load_model(checkpoint: Path, *, attention: str = "eager") -> Any:
    """The checkpoint's causal language model in fp32 and evaluation mode, without gradients.

    Safetensors only, and never code that comes with a checkpoint.

    Raises:
        ExportError: transformers cannot load it.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    try:
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint,
            dtype=torch.float32,
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
    return model.eval().requires_grad_(False)


def export(
    checkpoint: str | os.PathLike[str],
    config: ExportConfig,
    output: str | os.PathLike[str],
    *,
    task: str = "text-generation",
    on_stage: OnStage | None = None,
) -> Artifact:
    """Export a checkpoint to ``output/model.pte`` and write ``output/export.json`` beside it.

    Args:
        checkpoint: A checkpoint directory: config.json, safetensors weights.
        config: What is asked for.
        output: A directory; it is made if needed. Files of the same names are replaced.
        task: A key of ``exporters.wrappers.TASKS``.
        on_stage: Told of each stage as it begins and ends.

    Returns:
        The artifact, whose account holds the seconds and memory of each stage.

    Raises:
        ExportError: an option cannot be honoured for this model, or the checkpoint cannot be loaded.
        Exception: whatever torch.export or ExecuTorch raise; ``on_stage`` has named the stage.
    """
    # Registers the custom operators and the quantized kernels with torch and with the runtime.
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    import torch
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

    from exporters import recipes
    from exporters.quantize import quantize
    from exporters.wrappers import TASKS, wrap

    source, target = Path(checkpoint), Path(output)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot write to {target}: {error.strerror}. Name a directory that can be written.") from error
    clock = StageClock(on_stage)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with clock.stage("quantize"):
            model = load_model(source)
            quantization = quantize(model, config)
        with clock.stage("export"):
            wrapper = wrap(model, task, config)
            exported = {
                name: torch.export.export(
                    method.module, method.example_inputs, dynamic_shapes=method.dynamic_shapes, strict=False
                )
                for name, method in wrapper.methods().items()
            }
        constants = dict(wrapper.constant_methods())
        with clock.stage("lower"):
            for exported_program in exported.values():
                for apply in recipes.passes(config):
                    apply(exported_program)
            edge = to_edge_transform_and_lower(
                exported,
                partitioner=recipes.partitioners(config),
                constant_methods=constants,
                # llama::* are not core ATen operators, and XNNPACK takes no dim-order operators (executorch 1.4.1).
                compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
            )
            delegation = _delegation(edge, list(exported))
            group_sizes = _linear_group_sizes(edge, list(exported))
        with clock.stage("emit"):
            # Fusing turns dequantize + embedding into the quantized embedding kernel.
            emitted = edge.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=config.quantized))
            program = target / PROGRAM
            partial = program.with_suffix(".partial")
            with partial.open("wb") as file:
                emitted.write_to_file(file)
            partial.replace(program)
    plan = {entry.name: entry for entry in emitted.executorch_program.execution_plan}
    account = Account(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        model_type=model.config.model_type,
        task=task,
        wrapper=TASKS[task],
        methods=sorted(exported),
        configuration_id=config.id,
        configuration=config.to_mapping(),
        max_seq_len=wrapper.max_seq_len,
        checkpoint_sha256=checkpoint_sha256(source),
        versions={package: importlib.metadata.version(package) for package in STACK},
        stages=clock.times,
        file=ProgramFile(name=PROGRAM, bytes=program.stat().st_size, sha256=sha256(program)),
        constant_methods=constants,
        cache=wrapper.cache_report(),
        delegation=delegation,
        quantization=json.loads(json.dumps(dataclasses.asdict(quantization))),
        realised=Realised(
            operators=sorted({operator.name for name in exported for operator in plan[name].operators}),
            backends=sorted({delegate.id for name in exported for delegate in plan[name].delegates}),
            linear_group_sizes=group_sizes,
        ),
    )
    scratch = target / f"{ACCOUNT}.partial"
    scratch.write_text(account.model_dump_json(indent=1), encoding="utf-8")
    scratch.replace(target / ACCOUNT)
    return Artifact(target, account)


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


def _linear_group_sizes(edge: Any, methods: list[str]) -> dict[int, int]:
    """Group sizes of the 4-bit weights that the delegates were given, read off the graphs they compile.

    A weight stands in a delegated graph as ``dequantize_affine(weight, block_size, ...)`` with 4-bit bounds.
    """
    from executorch.exir.lowered_backend_module import get_lowered_submodules

    sizes: collections.Counter[int] = collections.Counter()
    for method in methods:
        for _, lowered, _ in get_lowered_submodules(edge.exported_program(method).graph_module):
            for node in lowered.original_module.graph.nodes:
                if "dequantize_affine" in str(node.target) and tuple(node.args[5:7]) == (-8, 7):
                    sizes[int(node.args[1][-1])] += 1
    return dict(sizes)
