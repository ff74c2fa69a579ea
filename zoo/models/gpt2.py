"""GPT-2: learned absolute positions, and projections that keep their weights transposed (Conv1D)."""

from zoo.model import Model, Twin
from zoo.registry import register

GPT2 = register(
    Model(
        name="gpt2",
        family="gpt2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="openai-community/gpt2",
        # The commit that the documentation of huggingface_hub shows for this repository.
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        prompts=(
            "Why is the sky blue?",
            "Count from one to ten.",
            "How is bread made?",
        ),
        # Positions are looked up in a table, not computed; the output layer is the embedding, as published.
        twin=Twin("gpt2", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, tie_word_embeddings=True),
        # Dimensions: the published config.json as copied into several public repositories, one of them
        # itsnsreehari/KV260-Accelerated-Platform, gpt2/config.json; tied embeddings: the configuration class's default.
        full=dict(
            n_embd=768,
            n_inner=None,
            n_layer=12,
            n_head=12,
            vocab_size=50257,
            n_positions=1024,
            activation_function="gelu_new",
            layer_norm_epsilon=1e-5,
            tie_word_embeddings=True,
        ),
    )
)
