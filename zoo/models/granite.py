"""Granite 3: the Llama architecture with multipliers on embeddings, attention scores, residuals and logits."""

from zoo.model import Model, Twin
from zoo.registry import register

GRANITE_3_3_2B = register(
    Model(
        name="granite-3.3-2b",
        family="granite",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="ibm-granite/granite-3.3-2b-instruct",
        revision="707f574c62054322f6b5b04b6d075f0a8f05e0f0",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "How does a lock work?",
            "What is a fossil?",
            "Name three rivers.",
        ),
        # The published multipliers; the one of attention is 1 / head size, so 1/16 here. Four query heads share a
        # key-value head.
        twin=Twin(
            "granite",
            hidden_size=128,
            num_attention_heads=8,
            num_key_value_heads=2,
            embedding_multiplier=12.0,
            attention_multiplier=0.0625,
            residual_multiplier=0.22,
            logits_scaling=8.0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000000.0},
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/granite/config/2b_config.json; context length and tied embeddings:
        # the published config.json of ibm-granite/granite-3.3-2b-instruct as quoted in tests of public ports.
        full=dict(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=40,
            num_attention_heads=32,
            num_key_value_heads=8,
            vocab_size=49159,
            max_position_embeddings=131072,
            rms_norm_eps=1e-5,
            embedding_multiplier=12.0,
            attention_multiplier=0.015625,
            residual_multiplier=0.22,
            logits_scaling=8.0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000000.0},
            tie_word_embeddings=True,
            attention_bias=False,
            mlp_bias=False,
        ),
    )
)
