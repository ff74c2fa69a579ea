"""Gemma: multi-query attention with wide heads, a gated GELU, scaled embeddings, and norms that multiply by 1 + weight."""

from zoo.model import Model, Twin
from zoo.registry import register

GEMMA_2B = register(
    Model(
        name="gemma-2b",
        family="gemma",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="google/gemma-2b",
        revision="9cf48e52b224239de00d483ec8eb84fb8d0f3a3a",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "What grows in the shade?",
            "Why do cats purr?",
            "Name three rivers.",
        ),
        # One key-value head serves all eight queries, as in the published model.
        twin=Twin(
            "gemma",
            add_bos=True,
            num_attention_heads=8,
            num_key_value_heads=1,
            head_dim=32,
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/gemma/config/2b_config.json; context length:
        # UbiquitousLearning/mllm, src/models/gemma/README.md. Tied embeddings: the configuration class's default.
        full=dict(
            hidden_size=2048,
            intermediate_size=16384,
            num_hidden_layers=18,
            num_attention_heads=8,
            num_key_value_heads=1,
            head_dim=256,
            vocab_size=256000,
            max_position_embeddings=8192,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            attention_bias=False,
        ),
    )
)
