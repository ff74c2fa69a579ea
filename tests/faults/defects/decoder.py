"""Defects of the exporter. Each is exported anew, by the pipeline that every cell goes through."""

from __future__ import annotations

import torch

from exporters.attention import storage
from tests.faults.defects import defect, on_model

GEMMA = "gemma3-270m@xnnpack-fp32-sdpa-kv"


@defect("exporter", GEMMA, caught_by="logits")
def query_norm_skipped(patch):
    """The normalisation of the queries of one layer is left out."""

    def change(model):
        model.model.layers[1].self_attn.q_norm = torch.nn.Identity()

    on_model(patch, change)


@defect("exporter", GEMMA, caught_by="cache_state")
def cache_slot_overwritten(patch):
    """Keys and values are stored one position too early."""
    write = storage._write

    def early(buffer, values, start, slots):
        write(buffer, values, start and start - 1, slots)

    patch.setattr(storage, "_write", early)
