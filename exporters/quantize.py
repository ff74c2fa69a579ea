"""Quantization with torchao, and a report of what was really quantized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from exporters.config import ExportConfig
from exporters.errors import ExportError

_INT4: Any = getattr(torch, "int4")  # noqa: B009 - torch 2.13.0 has it, its type stubs do not


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer whose weight was quantized, read back from the weight itself."""

    name: str
    kind: str
    """``linear`` or ``embedding``."""
    weight_bits: int
    group_size: int
    """Values along the last dimension of the weight that share a scale."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class SkippedLayer:
    """A linear layer that was left as it is."""

    name: str
    reason: str


@dataclass(frozen=True)
class QuantizationReport:
    """What ``quantize`` did."""

    layers: tuple[QuantizedLayer, ...] = ()
    skipped: tuple[SkippedLayer, ...] = ()
    untied: bool = False
    """Whether the embedding and the output layer shared a weight and were given one each."""
    linear_share: float = 0.0
    """Share of the linear layers' parameters that were quantized, from 0 to 1."""


def quantize(model: Any, config: ExportConfig) -> QuantizationReport:
    """Quantize a transformers model in place as ``config`` asks.

    Linear ``8da4w``: 4-bit weights, symmetric, one scale a group; activations 8-bit, asymmetric, scaled for each token
    while running. Embedding ``8w``: 8-bit weights, one scale a row.

    Raises:
        ExportError: the group size does not divide a layer's input features and ``allow_skipped_layers`` was not given,
            or torchao did something else than it was asked.
    """
    if not config.quantized:
        return QuantizationReport()
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    untied = _untie(model)
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    total = sum(module.weight.numel() for module in linears.values())
    layers: list[QuantizedLayer] = []
    skipped: list[SkippedLayer] = []
    if config.qlinear is not None:
        group = config.qlinear_group_size
        skipped = [
            SkippedLayer(name, f"{module.in_features} input features are no multiple of the group size {group}")
            for name, module in linears.items()
            if module.in_features % group
        ]
        if skipped and not config.allow_skipped_layers:
            named = "; ".join(f"{layer.name}: {layer.reason}" for layer in skipped[:4])
            more = f"; and {len(skipped) - 4} more" if len(skipped) > 4 else ""
            raise ExportError(
                f"qlinear_group_size {group} does not divide every linear layer ({named}{more}). Use a smaller group size, "
                "or --allow-skipped-layers to leave them unquantized."
            )
        left = {layer.name for layer in skipped}
        quantize_(
            model,
            Int8DynamicActivationIntxWeightConfig(weight_dtype=_INT4, weight_granularity=PerGroup(group)),
            lambda module, name: isinstance(module, nn.Linear) and name not in left,
        )
        layers += [_read_back(name, linears[name], "linear", 4, group) for name in linears if name not in left]
    if config.qembedding is not None:
        embeddings = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
        for module in embeddings.values():
            # executorch 1.4.1 does not fuse a dequantized embedding that has one ("Missing out variants:
            # torchao::dequantize_affine"); it matters for training only.
            module.padding_idx = None
        quantize_(
            model,
            IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0)),
            lambda module, _: isinstance(module, nn.Embedding),
        )
        layers += [_read_back(name, module, "embedding", 8, module.embedding_dim) for name, module in embeddings.items()]
    done = {layer.name for layer in layers if layer.kind == "linear"}
    share = sum(module.weight.numel() for name, module in linears.items() if name in done) / total if total else 0.0
    return QuantizationReport(layers=tuple(layers), skipped=tuple(skipped), untied=untied, linear_share=share)


def _untie(model: Any) -> bool:
    """Give the output layer a weight of its own; embedding and output layer are quantized differently."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embedding.weight:
        return False
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    return True


def _read_back(name: str, module: nn.Module, kind: str, bits: int, group: int) -> QuantizedLayer:
    weight: Any = module.weight
    block = tuple(getattr(weight, "block_size", ()))
    found_bits = {_INT4: 4, torch.int8: 8}.get(getattr(weight, "target_dtype", None))
    if block != (1, group) or found_bits != bits:
        raise ExportError(
            f"torchao quantized {name} with blocks of {block or 'nothing'} to {found_bits or 'no'} bits, "
            f"where groups of {group} and {bits} bits were asked for."
        )
    return QuantizedLayer(name=name, kind=kind, weight_bits=bits, group_size=group, shape=tuple(weight.shape))
