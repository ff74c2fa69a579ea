"""The array that covers every pair of options, and each model's share of it in ``default``.

``ROWS`` were picked greedily: each is the configuration with the most pairs that ``matrix.CORE`` and the rows before it lack.
The rows were dealt out in turn, to models that they apply to. Nothing here has to be touched for a new model: it takes a share
by its name (``matrix.configurations``). A test holds that every pair that the exporter does not refuse is covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROWS: tuple[str, ...] = (
    "xnnpack-fp16-kv8-8da8w-emb4w-static",
    "portable-bf16-sdpa-kv8-sink4w28-shared-static",
    "portable-fp32-sdpa-8w-emb4w-static",
    "xnnpack-fp16-sdpa-kv-sink4w28-8da4w-pc-emb4w",
    "xnnpack-fp32-kv8-4w-emb8w",
    "xnnpack-fp16-sdpa-8da4w-g64",
    "xnnpack-fp16-8da4w+8da8w-g128-emb8w-static",
    "portable-bf16-kv-shared",
    "xnnpack-fp32-sdpa-kv8-sink4w28-8w-emb8w",
    "xnnpack-bf16-sdpa-emb8w",
    "xnnpack-fp32-kv8-8da4w-pc-static",
    "xnnpack-fp32-sdpa-kv-sink4w28-8da8w",
    "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w+8da8w-g128",
    "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w-g64-emb8w-static",
    "xnnpack-fp32-4w-emb4w-static",
    "xnnpack-fp16-kv8-8da4w-static",
    "portable-fp16-shared",
    "xnnpack-bf16-emb4w",
    "xnnpack-fp32-sdpa-kv-sink4w28-4w",
    "xnnpack-fp32-8w",
    "xnnpack-fp32-8da4w-emb4w",
    "xnnpack-fp32-8da8w-emb8w",
    "portable-fp32-sdpa-shared",
    "portable-fp32-kv-8w-emb8w",
    "xnnpack-fp32-8da4w-pc-emb8w",
    "xnnpack-fp32-8da4w-g64-emb4w",
    "xnnpack-fp32-kv-8da4w+8da8w-g128-emb4w",
    "xnnpack-fp32-sdpa-4w",
    "xnnpack-fp32-sdpa-8da4w",
    "xnnpack-fp32-sdpa-8da8w",
    "xnnpack-fp32-kv-8da4w-g64",
    "xnnpack-fp32-sdpa-8da4w-pc",
    "xnnpack-fp32-sdpa-8da4w+8da8w-g128",
    "xnnpack-fp32-sdpa-kv-sink4w28-8da4w",
)
"""A pairwise covering array over ``matrix.OPTIONS``."""

SPELLING: tuple[str, ...] = (
    "xnnpack-bf16",
    "xnnpack-fp32-8w",
    "xnnpack-fp16-8da8w",
    "portable-fp16",
    "xnnpack-fp32-4w",
    "xnnpack-fp32-8da4w-pc",
    "portable-fp32-8w",
    "xnnpack-fp32-8da8w",
    "portable-bf16",
    "xnnpack-fp32-8da4w+8da8w-g128",
)
"""What models of CTC are run under beyond the columns; there is one, which takes them all."""
SHARES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bloom-560m": ("portable-bf16-kv-shared", "xnnpack-fp16-kv8-8da4w-static", "xnnpack-bf16-emb4w"),
        "codegen-350m": ("xnnpack-fp16-kv8-8da8w-emb4w-static", "xnnpack-fp32-kv8-4w-emb8w", "xnnpack-fp32-8w"),
        "command-r-35b": (
            "portable-bf16-sdpa-kv8-sink4w28-shared-static",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w+8da8w-g128",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w-g64-emb8w-static",
        ),
        "ernie-4.5-0.3b": (
            "portable-fp32-sdpa-shared",
            "xnnpack-fp32-sdpa-kv-sink4w28-8da8w",
            "xnnpack-fp32-sdpa-kv-sink4w28-4w",
        ),
        "exaone-4.0-1.2b": (
            "portable-fp16-shared",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8w-emb8w",
            "xnnpack-fp32-sdpa-kv-sink4w28-8da4w",
        ),
        "falcon-7b": ("xnnpack-fp32-kv8-4w-emb8w", "xnnpack-fp32-kv8-8da4w-pc-static", "xnnpack-fp32-8da4w-emb4w"),
        "falcon-rw-1b": ("xnnpack-fp32-kv8-8da4w-pc-static", "portable-fp16-shared", "xnnpack-fp32-8da8w-emb8w"),
        "gemma-2b": (
            "xnnpack-fp16-sdpa-kv-sink4w28-8da4w-pc-emb4w",
            "portable-fp32-sdpa-shared",
            "portable-fp32-sdpa-8w-emb4w-static",
        ),
        "gemma2-2b": ("xnnpack-fp16-kv8-8da4w-static", "portable-bf16-kv-shared", "portable-fp32-kv-8w-emb8w"),
        "gemma3-270m": (
            "xnnpack-fp32-sdpa-kv8-sink4w28-8w-emb8w",
            "portable-bf16-sdpa-kv8-sink4w28-shared-static",
            "xnnpack-fp16-sdpa-8da4w-g64",
        ),
        "glm-4-9b": (
            "xnnpack-fp32-sdpa-kv-sink4w28-8da8w",
            "xnnpack-fp16-sdpa-kv-sink4w28-8da4w-pc-emb4w",
            "xnnpack-bf16-sdpa-emb8w",
        ),
        "gpt-j-6b": ("xnnpack-bf16-emb4w", "xnnpack-fp16-kv8-8da8w-emb4w-static", "xnnpack-fp32-8da4w-pc-emb8w"),
        "gpt-neo-125m": ("xnnpack-fp32-8w", "xnnpack-fp32-4w-emb4w-static", "xnnpack-fp32-8da4w-g64-emb4w"),
        "gpt-neox-japanese-2.7b": (
            "xnnpack-fp32-8da4w-emb4w",
            "xnnpack-fp16-8da4w+8da8w-g128-emb8w-static",
            "xnnpack-fp32-kv-8da4w+8da8w-g128-emb4w",
        ),
        "gpt2": ("xnnpack-fp32-sdpa-kv8-sink4w28-8da4w+8da8w-g128", "xnnpack-fp32-kv-8da4w-g64", "xnnpack-fp32-sdpa-4w"),
        "granite-3.3-2b": (
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w-g64-emb8w-static",
            "xnnpack-fp32-kv-8da4w+8da8w-g128-emb4w",
            "xnnpack-fp32-sdpa-8da4w",
        ),
        "helium-1-preview-2b": ("xnnpack-fp32-sdpa-kv-sink4w28-4w", "xnnpack-fp32-8da4w-g64-emb4w", "xnnpack-fp32-sdpa-8da8w"),
        "lfm2-350m": ("xnnpack-fp32-sdpa-kv-sink4w28-8da4w", "portable-fp32-kv-8w-emb8w", "xnnpack-fp32-sdpa-8da4w-pc"),
        "llama-3.2-1b": (
            "portable-fp32-sdpa-8w-emb4w-static",
            "xnnpack-fp32-8da8w-emb8w",
            "xnnpack-fp32-sdpa-8da4w+8da8w-g128",
        ),
        "mamba-130m": ("xnnpack-fp32-8da8w-emb8w", "xnnpack-fp32-8da4w-pc-emb8w", "xnnpack-fp16-8da4w+8da8w-g128-emb8w-static"),
        "mistral-7b": ("xnnpack-fp16-sdpa-8da4w-g64", "xnnpack-fp32-8da4w-emb4w", "xnnpack-fp32-kv-8da4w-g64"),
        "mixtral-8x7b": ("xnnpack-bf16-sdpa-emb8w", "xnnpack-fp32-8w", "xnnpack-fp32-4w-emb4w-static"),
        "mpt-7b": ("portable-fp32-kv-8w-emb8w", "xnnpack-bf16-emb4w", "portable-bf16-kv-shared"),
        "olmo-1b": ("xnnpack-fp32-sdpa-4w", "xnnpack-fp16-kv8-8da4w-static", "portable-bf16-sdpa-kv8-sink4w28-shared-static"),
        "olmo2-1b": (
            "xnnpack-fp32-sdpa-8da4w",
            "xnnpack-fp32-kv8-8da4w-pc-static",
            "xnnpack-fp16-sdpa-kv-sink4w28-8da4w-pc-emb4w",
        ),
        "olmo3-7b": ("xnnpack-fp32-sdpa-8da8w", "xnnpack-fp32-sdpa-8da4w-pc", "xnnpack-fp32-sdpa-kv8-sink4w28-8w-emb8w"),
        "olmoe-1b-7b": (
            "xnnpack-fp32-sdpa-8da4w-pc",
            "xnnpack-fp32-sdpa-8da4w+8da8w-g128",
            "xnnpack-fp32-sdpa-kv-sink4w28-8da8w",
        ),
        "opt-125m": ("xnnpack-fp32-sdpa-8da4w+8da8w-g128", "xnnpack-fp32-sdpa-8da8w", "portable-fp32-sdpa-shared"),
        "phi-1.5": (
            "xnnpack-fp32-8da4w-pc-emb8w",
            "xnnpack-fp32-sdpa-8da4w",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w+8da8w-g128",
        ),
        "phi3-mini": ("xnnpack-fp32-8da4w-g64-emb4w", "xnnpack-fp32-sdpa-4w", "portable-fp32-sdpa-8w-emb4w-static"),
        "phi4-mini": ("xnnpack-fp32-kv-8da4w+8da8w-g128-emb4w", "xnnpack-bf16-sdpa-emb8w", "portable-fp16-shared"),
        "pythia-160m": (
            "xnnpack-fp32-kv-8da4w-g64",
            "xnnpack-fp16-sdpa-8da4w-g64",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w-g64-emb8w-static",
        ),
        "qwen2.5-0.5b": (
            "xnnpack-fp16-8da4w+8da8w-g128-emb8w-static",
            "xnnpack-fp32-sdpa-kv-sink4w28-8da4w",
            "xnnpack-fp32-sdpa-kv-sink4w28-4w",
        ),
        "qwen3-0.6b": (
            "xnnpack-fp32-4w-emb4w-static",
            "xnnpack-fp32-sdpa-kv-sink4w28-4w",
            "xnnpack-fp32-sdpa-kv-sink4w28-8da4w",
        ),
        "qwen3-30b-a3b": (
            "xnnpack-fp16-sdpa-kv-sink4w28-8da4w-pc-emb4w",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w-g64-emb8w-static",
            "xnnpack-fp16-sdpa-8da4w-g64",
        ),
        "santacoder-1.1b": (
            "portable-bf16-sdpa-kv8-sink4w28-shared-static",
            "xnnpack-fp32-sdpa-kv8-sink4w28-8da4w+8da8w-g128",
            "xnnpack-bf16-sdpa-emb8w",
        ),
        "smollm2-135m": ("portable-fp32-sdpa-shared", "xnnpack-fp32-sdpa-kv-sink4w28-8da8w", "xnnpack-fp32-sdpa-4w"),
        "smollm3-3b": ("portable-bf16-kv-shared", "xnnpack-fp32-sdpa-kv8-sink4w28-8w-emb8w", "xnnpack-fp32-sdpa-8da4w"),
        "stablelm-2-1.6b": (
            "xnnpack-fp16-kv8-8da8w-emb4w-static",
            "xnnpack-fp32-kv8-4w-emb8w",
            "xnnpack-fp32-kv8-8da4w-pc-static",
        ),
        "starcoder2-3b": ("portable-fp16-shared", "portable-fp32-sdpa-8w-emb4w-static", "xnnpack-fp32-sdpa-8da8w"),
        # Wrappers of few models: together these take what the others of their wrapper do not.
        "rt-detr-r18vd": ("xnnpack-fp32-8w", "portable-fp32-8w", "xnnpack-bf16"),
        "t5-small": (
            "portable-fp16-kv8-shared",
            "xnnpack-fp32-4w-enc4w-encemb4w",
            "xnnpack-fp16-kv-8da4w-g64-emb8w-enc8da4w-g64",
        ),
        "wav2vec2-base": SPELLING,
        "yolos-tiny": ("xnnpack-fp16-8da8w", "xnnpack-fp32-8da4w+8da8w-g128", "xnnpack-fp32-8da4w-g64"),
    }
)
"""The rows that a model is run under in ``default``."""
