"""OPT: learned absolute positions that start at the third row of their table, ReLU, and a BOS in front of each text."""

from zoo.model import Model, Twin
from zoo.registry import register

OPT_125M = register(
    Model(
        name="opt-125m",
        family="opt",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="facebook/opt-125m",
        # The commit that public benchmark code pins for this repository.
        revision="27dcfa74d334bc871f3234de431e71c6eeba5dd6",
        prompts=(
            "Write a line about rain.",
            "What grows in the shade?",
            "Name three rivers.",
        ),
        # Position 0 is row 2 of the table; norms come before each branch, and the output layer is the embedding.
        twin=Twin(
            "opt",
            add_bos=True,
            ffn_dim=256,
            word_embed_proj_dim=64,
            dropout=0.0,
            do_layer_norm_before=True,
            tie_word_embeddings=True,
        ),
        # Dimensions: the published config.json of facebook/opt-125m as quoted in several public repositories and test
        # suites; tied embeddings: the configuration class's default.
        full=dict(
            hidden_size=768,
            ffn_dim=3072,
            word_embed_proj_dim=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            vocab_size=50272,
            max_position_embeddings=2048,
            activation_function="relu",
            do_layer_norm_before=True,
            tie_word_embeddings=True,
        ),
    )
)
