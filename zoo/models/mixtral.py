"""Mixtral: a mixture of experts, two of them for each token, weighted by a softmax over the chosen ones."""

from zoo.model import Model, Twin
from zoo.registry import register

MIXTRAL_8X7B = register(
    Model(
        name="mixtral-8x7b",
        family="mixtral",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="mistralai/Mixtral-8x7B-v0.1",
        revision="fc7ac94680e38d7348cfa806e51218e6273104b0",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "Why do cats purr?",
            "How deep is the sea?",
            "Count from one to ten.",
        ),
        # Two experts of four instead of two of eight. Four query heads share a key-value head.
        twin=Twin(
            "mixtral",
            add_bos=True,
            num_attention_heads=8,
            num_key_value_heads=2,
            head_dim=16,
            num_local_experts=4,
            num_experts_per_tok=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=False,
        ),
        # Dimensions: Lightning-AI/litgpt, litgpt/config.py; widths, heads and no sliding window: the published config.json
        # of mistralai/Mixtral-8x7B-v0.1 as reprinted in public training recipes.
        full=dict(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            vocab_size=32000,
            max_position_embeddings=32768,
            num_local_experts=8,
            num_experts_per_tok=2,
            sliding_window=None,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=False,
        ),
    )
)
