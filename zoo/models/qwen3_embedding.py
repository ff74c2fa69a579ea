"""Qwen3 Embedding: the Qwen3 decoder without its output layer; a text is the hidden state of its last token."""

from zoo.model import Model, Twin
from zoo.registry import register

QWEN3_EMBEDDING_0_6B = register(
    Model(
        name="qwen3-embedding-0.6b",
        family="qwen3_embedding",
        task="feature-extraction",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="Qwen/Qwen3-Embedding-0.6B",
        revision="97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",  # as pinned in test fixtures of several public embedding services
        prompts=(
            "Are seals friendly?",
            "What is a lighthouse for?",
            "How is bread made?",
            "Where do swallows go in winter?",
        ),
        # Heads wider than hidden size / heads, and query-key normalisation, as in Qwen3.
        twin=Twin("qwen3", num_attention_heads=4, num_key_value_heads=2, head_dim=32, tie_word_embeddings=True),
        # Dimensions: a Qwen3Config quoted in a public text-encoder port; hidden size, layers, vocabulary and context agree with
        # a fixture of the published config.json in a public server's tests.
        full=dict(
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            vocab_size=151669,
            max_position_embeddings=32768,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=True,
            attention_bias=False,
        ),
    )
)
