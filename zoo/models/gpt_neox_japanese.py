"""GPT-NeoX-Japanese: no biases in the blocks but one, behind the attention of the last layer; residuals in sequence."""

from zoo.model import Model, Twin
from zoo.registry import register

GPT_NEOX_JAPANESE_2_7B = register(
    Model(
        name="gpt-neox-japanese-2.7b",
        family="gpt_neox_japanese",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="abeja/gpt-neox-japanese-2.7b",
        # The commit whose files the Hub lists, the latest one that was at hand.
        revision="77d098b1a2cd587945b5470773ab3429460b1c58",
        prompts=(
            "What grows in the shade?",
            "Name three rivers.",
            "Why do cats purr?",
        ),
        # Two layers: one without the bias, one with it. Whole heads are rotated.
        twin=Twin(
            "gpt_neox_japanese",
            intermediate_multiple_size=4,
            attention_dropout=0.0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
            tie_word_embeddings=True,
        ),
        # Dimensions: the published config.json of abeja/gpt-neox-japanese-2.7b, as its page on the Hub shows it. It does
        # not name tie_word_embeddings, so the configuration class's default holds: 2.60 billion parameters; the 5.36 GB of
        # the published file have room for 2.68 billion, a separate output layer included.
        full=dict(
            hidden_size=2560,
            intermediate_multiple_size=4,
            num_hidden_layers=32,
            num_attention_heads=32,
            vocab_size=32000,
            max_position_embeddings=2048,
            hidden_act="gelu",
            layer_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
            tie_word_embeddings=True,
        ),
    )
)
