"""EXAONE 4.0: norms after attention and feed-forward instead of before, normalised queries and keys, scaled rotary base."""

from zoo.model import Model, Twin
from zoo.registry import register

EXAONE_4_0_1_2B = register(
    Model(
        name="exaone-4.0-1.2b",
        family="exaone4",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="LGAI-EXAONE/EXAONE-4.0-1.2B",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("Why is the sky blue?", "What grows in the shade?", "Where do swallows go in winter?"),
        # No sliding window in this size: every layer sees everything and rotates. Rotary frequencies are scaled as if the
        # twin had been trained on 32 positions before its 64; four queries share a key-value head, as published.
        twin=Twin(
            "exaone4",
            hidden_size=128,
            num_attention_heads=8,
            num_key_value_heads=2,
            sliding_window=None,
            layer_types=("full_attention", "full_attention"),
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 1000000.0,
                "factor": 16.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            tie_word_embeddings=True,
        ),
        # Dimensions: the published configuration as quoted in the tests of a public port, and vllm-project/vllm-metal, pull
        # request 459 (all layers full attention, tied embeddings, scaled rotary base).
        full=dict(
            hidden_size=2048,
            intermediate_size=4096,
            num_hidden_layers=30,
            num_attention_heads=32,
            num_key_value_heads=8,
            vocab_size=102400,
            max_position_embeddings=65536,
            rms_norm_eps=1e-5,
            sliding_window=None,
            layer_types=("full_attention",) * 30,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 1000000.0,
                "factor": 16.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            tie_word_embeddings=True,
        ),
    )
)
