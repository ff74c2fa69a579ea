"""Llama 3.2: grouped-query attention, tied embeddings, and rope frequencies scaled for a longer context."""

from zoo.model import Model, Twin
from zoo.registry import register

LLAMA_3_2_1B = register(
    Model(
        name="llama-3.2-1b",
        family="llama",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="meta-llama/Llama-3.2-1B",
        revision="4e20de362430cd3b72f300e6b0f18e50e7166e08",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "Why is the sky blue?",
            "Name three rivers.",
            "How does a lock work?",
        ),
        # Four query heads share a key-value head, as in the published model. With an original context of 48, one rope
        # frequency stays as it is, one is interpolated and the others are divided by 32: each branch of the scaling.
        twin=Twin(
            "llama",
            add_bos=True,
            num_attention_heads=8,
            num_key_value_heads=2,
            head_dim=16,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 48,
            },
            tie_word_embeddings=True,
        ),
        # Dimensions: the published config.json of meta-llama/Llama-3.2-1B as copied in
        # kevinstephano/thunder_model_blocks, hf_llama/llama_config.py.
        full=dict(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=64,
            vocab_size=128256,
            max_position_embeddings=131072,
            rms_norm_eps=1e-5,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            tie_word_embeddings=True,
            attention_bias=False,
            mlp_bias=False,
        ),
    )
)
