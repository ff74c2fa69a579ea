"""StableLM 2: rotary embeddings on a quarter of each head, biased layer norms, biased queries, keys and values."""

from zoo.model import Model, Twin
from zoo.registry import register

STABLELM_2_1_6B = register(
    Model(
        name="stablelm-2-1.6b",
        family="stablelm",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention", "untied"),
        hub_id="stabilityai/stablelm-2-1_6b",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("Name three rivers.", "Write a line about rain.", "Where do swallows go in winter?"),
        # A quarter of a head of 16: four of its numbers rotate. Every head has its own keys and values, as published.
        twin=Twin(
            "stablelm",
            num_key_value_heads=4,
            use_qkv_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        ),
        # Dimensions: the published configuration as printed in huggingface/candle, pull request 1654 (of the chat model of
        # the same size), and the model card. Untied embeddings: the card's parameter count needs them; it lacks only the
        # biases of the layers' norms.
        full=dict(
            hidden_size=2048,
            intermediate_size=5632,
            num_hidden_layers=24,
            num_attention_heads=32,
            num_key_value_heads=32,
            vocab_size=100352,
            max_position_embeddings=4096,
            layer_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
            use_qkv_bias=True,
            tie_word_embeddings=False,
        ),
    )
)
