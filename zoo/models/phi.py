"""Phi: attention and MLP side by side after one norm, rotary positions on half of each head, biases up to the output."""

from zoo.model import Model, Twin
from zoo.registry import register

PHI_1_5 = register(
    Model(
        name="phi-1.5",
        family="phi",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="microsoft/phi-1_5",
        # The commit that public test code pins for this repository.
        revision="675aa382d814580b22651a30acb1a585d7c25963",
        prompts=(
            "Why do cats purr?",
            "How is bread made?",
            "Name three rivers.",
        ),
        # Half of each head is rotated; every query head has its own keys and values, as published.
        twin=Twin(
            "phi",
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=256,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            tie_word_embeddings=False,
        ),
        # Dimensions: Lightning-AI/litgpt, litgpt/config.py, phi-1_5, and the configuration of microsoft/phi-1_5 as printed
        # in public notebooks.
        full=dict(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=24,
            num_attention_heads=32,
            num_key_value_heads=32,
            vocab_size=51200,
            max_position_embeddings=2048,
            hidden_act="gelu_new",
            layer_norm_eps=1e-5,
            qk_layernorm=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            tie_word_embeddings=False,
        ),
    )
)
