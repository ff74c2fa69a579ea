"""Constant methods: what a ``.pte`` says of itself, as ExecuTorch's runners and ours read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from exporters.config import ExportConfig

DTYPE_CODES: Mapping[str, int] = {"fp32": 6}
"""``torch.dtype`` as ExecuTorch's ``ScalarType`` numbers it."""


def causal_lm(model: PreTrainedModel, config: ExportConfig, *, max_seq_len: int, head_dim: int, ring: bool) -> dict[str, Any]:
    """The constant methods of a decoder-only language model.

    ``get_max_seq_len`` is both the longest prompt of one call and, as ``get_max_context_len``, what the cache holds.
    A token id that the model does not define has no method. ``uses_ring_cache`` says that earlier positions are
    overwritten, so a sequence cannot be rewound.
    """
    text = model.config.get_text_config()
    generation = model.generation_config
    constants: dict[str, Any] = {
        "get_max_seq_len": max_seq_len,
        "get_max_context_len": max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "get_n_kv_heads": getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        "get_head_dim": head_dim,
        "get_dtype": DTYPE_CODES[config.dtype],
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": config.use_custom_sdpa,
        "enable_dynamic_shape": config.dynamic_shapes,
        "uses_ring_cache": ring,
    }
    bos = generation.bos_token_id if generation.bos_token_id is not None else text.bos_token_id
    eos = generation.eos_token_id if generation.eos_token_id is not None else text.eos_token_id
    if bos is not None:
        constants["get_bos_id"] = bos
    if eos is not None:
        constants["get_eos_ids"] = list(eos) if isinstance(eos, (list, tuple)) else [eos]
    return constants
