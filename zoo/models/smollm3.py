"""SmolLM3: the Llama architecture, but every fourth layer has no rotary embedding (NoPE)."""

from zoo.model import Model, Twin
from zoo.registry import register

SMOLLM3_3B = register(
    Model(
        name="smollm3-3b",
        family="smollm3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="HuggingFaceTB/SmolLM3-3B",
        revision="a07cc9a04f16550a088caea529712d1d335b0ac1",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "Are seals friendly?",
            "What is a fossil?",
            "Count from one to ten.",
        ),
        # Four layers, as the last of each four has no rotary embedding. Four query heads share a key-value head. With this
        # seed the attention of the last layer counts, so that a rotary embedding too many is seen.
        twin=Twin(
            "smollm3",
            seed=1,
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=2,
            no_rope_layers=(1, 1, 1, 0),
            rope_parameters={"rope_type": "default", "rope_theta": 5000000.0},
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/smollm3/3b_config.json; context length, tied embeddings and the
        # layers without rope: the published config.json of HuggingFaceTB/SmolLM3-3B as quoted in tests of public ports.
        full=dict(
            hidden_size=2048,
            intermediate_size=11008,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=4,
            vocab_size=128256,
            max_position_embeddings=65536,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 5000000.0},
            no_rope_layers=(1, 1, 1, 0) * 9,
            no_rope_layer_interval=4,
            use_sliding_window=False,
            tie_word_embeddings=True,
        ),
    )
)
