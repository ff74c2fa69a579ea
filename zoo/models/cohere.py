"""Command-R: attention and feed-forward beside each other, layer norms without bias, scaled logits, interleaved rotary."""

from zoo.model import Model, Twin
from zoo.registry import register

COMMAND_R_35B = register(
    Model(
        name="command-r-35b",
        family="cohere",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="CohereLabs/c4ai-command-r-v01",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("What makes a good map?", "How do bees find their way home?", "What is a fossil?"),
        # Logits are multiplied by 1/16, embeddings are tied, and every head has its own keys and values, as published.
        twin=Twin(
            "cohere",
            add_bos=True,
            num_key_value_heads=4,
            logit_scale=0.0625,
            rope_parameters={"rope_type": "default", "rope_theta": 8000000.0},
        ),
        # Dimensions: the published configuration as quoted in the tests and presets of several public ports (vocab_size,
        # logit_scale and rope_theta among them); max_position_embeddings: the same tests.
        full=dict(
            hidden_size=8192,
            intermediate_size=22528,
            num_hidden_layers=40,
            num_attention_heads=64,
            num_key_value_heads=64,
            vocab_size=256000,
            max_position_embeddings=8192,
            layer_norm_eps=1e-5,
            logit_scale=0.0625,
            rope_parameters={"rope_type": "default", "rope_theta": 8000000.0},
            use_qk_norm=False,
            tie_word_embeddings=True,
        ),
    )
)
