"""Helium: the Llama architecture, but rotary embeddings turn neighbouring numbers of a head instead of its halves."""

from zoo.model import Model, Twin
from zoo.registry import register

HELIUM_1_PREVIEW_2B = register(
    Model(
        name="helium-1-preview-2b",
        family="helium",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="kyutai/helium-1-preview-2b",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("What is a fossil?", "How do bees find their way home?", "Write a line about rain."),
        # Every head has its own keys and values, and embeddings are not tied, as published.
        twin=Twin("helium", add_bos=True, num_key_value_heads=4, head_dim=16),
        # Dimensions: the published config.json as quoted in lablup/mlxcel, src/models/helium_tests.rs.
        full=dict(
            hidden_size=2560,
            intermediate_size=7040,
            num_hidden_layers=24,
            num_attention_heads=20,
            num_key_value_heads=20,
            head_dim=128,
            vocab_size=48000,
            max_position_embeddings=4096,
            rms_norm_eps=1e-8,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
            attention_bias=False,
            mlp_bias=False,
            tie_word_embeddings=False,
        ),
    )
)
