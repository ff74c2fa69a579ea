"""Defects of the exporter: what becomes of quantized weights."""

from __future__ import annotations

import dataclasses

from exporters import quantize
from exporters.config import PER_CHANNEL
from tests.faults.defects import defect, on_model

INT4 = "smollm2-135m@xnnpack-fp32-sdpa-4w"
DYNAMIC = "smollm2-135m@xnnpack-fp32-sdpa-kv-8da4w-emb8w"
PORTABLE = "phi3-mini@portable-fp32-sdpa-8w-emb4w-static"


def quantizing(patch, change):
    """Let ``change(original, modules, names, kind, scheme, group)`` quantize layers."""
    original = quantize._quantize
    patch.setattr(quantize, "_quantize", lambda *arguments: change(original, *arguments))


@defect("exporter", INT4, caught_by="logits")
def scales_swapped_between_two_layers(patch):
    """Two layers of the same shape have each other's scales."""

    def change(model):
        first, second = (layer.mlp.gate_proj.weight for layer in model.model.layers)
        first.scale, second.scale = second.scale, first.scale

    on_model(patch, change)


@defect("exporter", DYNAMIC, caught_by="contract")
def group_size_ignored(patch):
    """Every row of a weight has one scale, and the exporter says that it has one for each group."""

    def whole_rows(original, modules, names, kind, scheme, group):
        layers = original(modules, names, kind, scheme, PER_CHANNEL)
        return [dataclasses.replace(layer, group_size=group) for layer in layers]

    quantizing(patch, whole_rows)


def skipping(patch, *, told):
    """Leave the last linear layer of the first block as it is."""

    def fewer(original, modules, names, kind, scheme, group):
        left = next((name for name in names if name.endswith("layers.0.mlp.down_proj")), None)
        layers = original(modules, [name for name in names if name != left], kind, scheme, group)
        if left is None or told:
            return layers
        return [*layers, dataclasses.replace(layers[0], name=left)]

    quantizing(patch, fewer)


@defect("exporter", DYNAMIC, caught_by="contract")
def one_layer_left_unquantized(patch):
    """One linear layer keeps its weights, and the exporter says that it quantized it."""
    skipping(patch, told=False)


@defect("exporter", DYNAMIC, caught_by="contract")
def one_layer_overlooked(patch):
    """One linear layer keeps its weights, and the exporter says nothing of it."""
    skipping(patch, told=True)


@defect("exporter", PORTABLE, caught_by="quality")
def halves_of_a_byte_swapped(patch):
    """Each two neighbouring 4-bit values of the embedding are stored in the other's place."""

    def change(model):
        weight = model.get_input_embeddings().weight
        weight.qdata = weight.qdata.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)

    on_model(patch, change)


@defect("exporter", PORTABLE, caught_by="logits")
def scales_of_the_row_before(patch):
    """Every row of the embedding has the scales of the one before it."""

    def change(model):
        weight = model.get_input_embeddings().weight
        weight.scale = weight.scale.roll(1, dims=0)

    on_model(patch, change)
