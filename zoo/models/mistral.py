"""Mistral: grouped-query attention behind a sliding window in every layer."""

from zoo.model import Model, Twin
from zoo.registry import register

MISTRAL_7B = register(
    Model(
        name="mistral-7b",
        family="mistral",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("all_sliding", "untied"),
        hub_id="mistralai/Mistral-7B-v0.1",
        revision="27d67f1b5f57dc0953326b2601d68371d40ea8da",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "How deep is the sea?",
            "What makes a good map?",
            "Name three rivers.",
        ),
        # A window of 16 in a context of 64, in both layers: no layer sees the whole context. Four query heads share a
        # key-value head, and the output layer has weights of its own.
        twin=Twin(
            "mistral",
            add_bos=True,
            num_attention_heads=8,
            num_key_value_heads=2,
            head_dim=16,
            sliding_window=16,
            tie_word_embeddings=False,
        ),
        # Dimensions: the published config.json of mistralai/Mistral-7B-v0.1 as reprinted in public explanations of the
        # architecture; it agrees with Lightning-AI/litgpt, litgpt/config.py, and its comment on the context length.
        full=dict(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            vocab_size=32000,
            max_position_embeddings=32768,
            sliding_window=4096,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=False,
        ),
    )
)
