"""The stages that the cells of every task go through alike: a checkpoint is loaded, exported and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from conformance.artifacts import cached_export
from conformance.compare.degeneracy import check_baseline
from conformance.record import Check, Record, StageRecord
from conformance.trail import CellRequest, Trail
from exporters.artifact import Artifact
from exporters.config import ExportConfig
from exporters.pipeline import load_model, torch_dtype
from zoo.checkpoints import resolve
from zoo.errors import ZooError
from zoo.model import Model


def resolved(model: Model, request: CellRequest, trail: Trail, record: Record | None = None) -> Path:
    """The stage ``resolve``: the cell's checkpoint directory."""
    torch.set_num_threads(request.threads)
    with trail.stage("resolve"):
        checkpoint = resolve(model, request.scale)
        if request.scale == "hub" and record is not None:
            record.revision = checkpoint.name  # a snapshot is named by its commit, whether the row pins one or not
    return checkpoint


def loaded(model: Model, checkpoint: Path) -> Any:
    """The checkpoint in eager PyTorch, in fp32.

    Raises:
        ExportError: it cannot be loaded.
        ZooError: it is of another architecture than the row.
    """
    eager = load_model(checkpoint, task=model.task)
    found = eager.config.model_type
    if model.has_twin and found != model.twin.model_type:
        raise ZooError(f"the checkpoint {checkpoint} is a {found}, and {model.name} is a {model.twin.model_type}.")
    return eager


def exported(
    checkpoint: Path, config: ExportConfig, model: Model, request: CellRequest, trail: Trail, record: Record
) -> Artifact:
    """The stages from ``quantize`` to ``emit``, now or when the artifact was made, and what they found."""
    trail.begin("quantize")
    artifact, cached = cached_export(
        checkpoint, config, task=model.task, stock_lowering=request.stock_lowering, on_stage=trail.note
    )
    account = artifact.account
    for stage in account.stages if cached else ():
        trail.end(StageRecord(**stage.model_dump(), cached=True))
    record.file_bytes, record.file_sha256 = account.file.bytes, account.file.sha256
    record.methods, record.delegation = account.methods, account.delegation.model_dump()
    record.delegated_share = account.delegation.share
    record.quantization, record.cache = account.quantization, account.cache
    record.checks["export"] = Check(
        status="pass",
        message=f"{account.file.bytes} bytes, {account.delegation.share:.0%} of the operators delegated",
        metrics={"bytes": account.file.bytes, "delegates": account.delegation.delegates},
    )
    return artifact


def weight_bytes(model: Any, config: ExportConfig) -> int | None:
    """Bytes that the weights of linear layers, experts, embeddings and convolutions, and tables of positions, have in a program
    that is not quantized, a tied weight counted once; ``None`` of a model that consists mostly of convolutions, whose size says
    nothing of its linear layers."""
    layers = [module for module in model.modules() if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d))]
    kernels = {id(parameter): parameter for layer in layers for parameter in layer.parameters() if parameter.dim() > 1}
    weights = {id(parameter): parameter for parameter in model.parameters() if id(parameter) not in kernels}.values()
    tables = [buffer for buffer in model.buffers() if buffer.is_floating_point() and buffer.dim() == 2]
    linear = sum(tensor.numel() for tensor in (*weights, *tables) if tensor.dim() in (2, 3))
    convolutions = sum(parameter.numel() for parameter in kernels.values())
    size: int = torch_dtype(config.dtype).itemsize
    # XNNPACK's delegate stores the weights of convolutions in fp32, also for fp16 (executorch 1.4.1).
    stored = 4 if config.recipe == "xnnpack" and config.dtype == "fp16" else size
    return None if convolutions > linear else size * linear + stored * convolutions


def linear_layers(model: Any, config: ExportConfig) -> dict[str, int]:
    """What the configuration asks to quantize: modules by name, with the linear layers that each of them is. A mixture of
    experts is as many as are stacked in it, whatever the exporter makes of it."""
    from exporters.components import encoders

    front = {id(module) for encoder in encoders(model) for module in encoder.modules()}
    found: dict[str, int] = {}
    for name, module in model.named_modules():
        if (config.qlinear_encoder if id(module) in front else config.qlinear) is None:
            continue
        stacked = [weight for weight in module.parameters(recurse=False) if weight.dim() == 3]
        if isinstance(module, (torch.nn.Linear, Conv1D)):
            found[name] = 1
        elif stacked and "expert" in name:
            found[name] = sum(weight.shape[0] for weight in stacked)
    return found


def call_off(record: Record, why: str | None) -> None:
    """Where the baseline proves nothing, no check of what the program computes does."""
    record.checks["baseline"] = check_baseline(why)
    if why is not None:
        for name in record.checks.keys() - {"baseline", "export", "contract"}:
            record.checks[name] = Check(status="inconclusive", message=f"proves nothing: {why}")
