"""StarCoder2: every layer looks through a sliding window; two key-value heads; layer norms and biases throughout."""

from zoo.model import Model, Twin
from zoo.registry import register

STARCODER2_3B = register(
    Model(
        name="starcoder2-3b",
        family="starcoder2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("all_sliding",),
        hub_id="bigcode/starcoder2-3b",
        # The commit that public experiment records pin for this repository.
        revision="733247c55e3f73af49ce8e9c7949bf14af205928",
        prompts=(
            "What does a compiler do?",
            "What makes a good map?",
            "Name three rivers.",
        ),
        # A window of 16 in a context of 64, and no layer that sees further. Two key-value heads, as published, serve four
        # query heads each (twelve in the published model).
        twin=Twin(
            "starcoder2",
            num_attention_heads=8,
            num_key_value_heads=2,
            intermediate_size=256,
            sliding_window=16,
            use_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 999999.4420358813},
            tie_word_embeddings=True,
        ),
        # Dimensions: the published config.json of bigcode/starcoder2-3b as quoted in the test suites of several public
        # ports; tied embeddings: such a test, and the configuration class's default.
        full=dict(
            hidden_size=3072,
            intermediate_size=12288,
            num_hidden_layers=30,
            num_attention_heads=24,
            num_key_value_heads=2,
            vocab_size=49152,
            max_position_embeddings=16384,
            sliding_window=4096,
            hidden_act="gelu_pytorch_tanh",
            norm_epsilon=1e-5,
            use_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 999999.4420358813},
            tie_word_embeddings=True,
        ),
    )
)
