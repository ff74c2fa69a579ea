"""OLMo: layer norms without any parameter, and as many key-value heads as query heads."""

from zoo.model import Model, Twin
from zoo.registry import register

OLMO_1B = register(
    Model(
        name="olmo-1b",
        family="olmo",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="allenai/OLMo-1B-hf",
        revision="aee7752d9c08ee4775e9b0091426d8410e8f6a89",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "Write a line about rain.",
            "Why is the sky blue?",
            "Name three rivers.",
        ),
        # Every head has its own keys and values, as in the published model; nothing clips the projections (clip_qkv).
        twin=Twin("olmo", num_attention_heads=4, num_key_value_heads=4, clip_qkv=None, tie_word_embeddings=True),
        # Dimensions: pytorch/executorch, examples/models/olmo/config/1b_config.json; context length and tied embeddings:
        # allenai/OLMo, configs/official/OLMo-1B.yaml; clip_qkv: the published config.json as quoted in tests of ports.
        full=dict(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=16,
            vocab_size=50304,
            max_position_embeddings=2048,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            clip_qkv=None,
            tie_word_embeddings=True,
            attention_bias=False,
        ),
    )
)
