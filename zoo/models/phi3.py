"""Phi-3 and Phi-4-mini: fused projections; a sliding window in the one, LongRoPE on a part of each head in the other."""

from zoo.model import Model, Twin
from zoo.registry import register

PHI3_MINI = register(
    Model(
        name="phi3-mini",
        family="phi3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("all_sliding", "untied"),
        hub_id="microsoft/Phi-3-mini-4k-instruct",
        # The commit that public code pins for this repository.
        revision="0a67737cc96d2554230f90338b163bc6380a2a85",
        prompts=(
            "Why is the sky blue?",
            "Write a line about rain.",
            "How does a lock work?",
        ),
        # A window of 16 in a context of 64, and no layer that sees further. Every query head has its own keys and values.
        twin=Twin("phi3", num_attention_heads=4, num_key_value_heads=4, sliding_window=16, tie_word_embeddings=False),
        # Dimensions: the published config.json of microsoft/Phi-3-mini-4k-instruct as quoted in public benchmarks and
        # test suites; Lightning-AI/litgpt, litgpt/config.py agrees.
        full=dict(
            hidden_size=3072,
            intermediate_size=8192,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
            vocab_size=32064,
            max_position_embeddings=4096,
            original_max_position_embeddings=4096,
            sliding_window=2047,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
            tie_word_embeddings=False,
        ),
    )
)

# fmt: off
PHI4_MINI_LONG_FACTOR = [
    1.0, 1.118320672, 1.250641126, 1.398617824, 1.564103225, 1.74916897, 1.956131817, 2.187582649, 2.446418898, 2.735880826,
    3.059592084, 3.421605075, 3.826451687, 4.279200023, 4.785517845, 5.351743533, 5.984965424, 6.693110555, 7.485043894,
    8.370679318, 9.36110372, 10.4687158, 11.70738129, 13.09260651, 14.64173252, 16.37415215, 18.31155283, 20.47818807,
    22.90118105, 25.61086418, 28.64115884, 32.03, 32.1, 32.13, 32.23, 32.6, 32.61, 32.64, 32.66, 32.7, 32.71, 32.93, 32.97,
    33.28, 33.49, 33.5, 44.16, 47.77,
]
# fmt: on

PHI4_MINI = register(
    Model(
        name="phi4-mini",
        family="phi3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="microsoft/Phi-4-mini-instruct",
        # The commit that public experiment records pin for this repository.
        revision="cfbefacb99257ffa30c83adab238a50856ac3083",
        prompts=(
            "How deep is the sea?",
            "Where do swallows go in winter?",
            "Count from one to ten.",
        ),
        # Three quarters of each head are rotated, three query heads share a key-value head, the embeddings are tied. The
        # context is 32 times the original one, as published, so that cosines and sines are scaled at every position. The
        # original context of 64 is what the cache holds: beyond it the long factors apply to all positions at once, which
        # would make keys that are cached already wrong, in transformers as in an exported program. The published window
        # of 262144 tokens is wider than the context and is left out.
        twin=Twin(
            "phi3",
            hidden_size=96,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            original_max_position_embeddings=64,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.75,
                "original_max_position_embeddings": 64,
                "short_factor": [1.0] * 6,
                "long_factor": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
            },
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/phi_4_mini/config/config.json; context, window, tied embeddings
        # and the factors of LongRoPE: the published config.json as quoted in the presets and tests of several public ports.
        full=dict(
            hidden_size=3072,
            intermediate_size=8192,
            num_hidden_layers=32,
            num_attention_heads=24,
            num_key_value_heads=8,
            vocab_size=200064,
            max_position_embeddings=131072,
            original_max_position_embeddings=4096,
            sliding_window=262144,
            rms_norm_eps=1e-5,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.75,
                "original_max_position_embeddings": 4096,
                "short_factor": [1.0] * 48,
                "long_factor": PHI4_MINI_LONG_FACTOR,
            },
            tie_word_embeddings=True,
        ),
    )
)
