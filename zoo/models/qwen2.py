"""Qwen2.5: query, key and value projections with biases; seven query heads to a key-value head."""

from zoo.model import Model, Twin
from zoo.registry import register

QWEN2_5_0_5B = register(
    Model(
        name="qwen2.5-0.5b",
        family="qwen2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="Qwen/Qwen2.5-0.5B",
        revision="060db6499f32faf8b98477b0a26969ef7d8b9987",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "What does a compiler do?",
            "Where do swallows go in winter?",
            "Count from one to ten.",
        ),
        # Fourteen heads share two key-value heads, as in the published model; 14 heads of 16 make a width of 224.
        twin=Twin(
            "qwen2",
            hidden_size=224,
            num_attention_heads=14,
            num_key_value_heads=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/qwen2_5/config/0_5b_config.json; context length, tied embeddings
        # and the unused sliding window: the published config.json of Qwen/Qwen2.5-0.5B as reprinted in public model notes.
        full=dict(
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=24,
            num_attention_heads=14,
            num_key_value_heads=2,
            vocab_size=151936,
            max_position_embeddings=32768,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            use_sliding_window=False,
            tie_word_embeddings=True,
        ),
    )
)
