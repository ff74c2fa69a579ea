"""LFM2: gated short convolutions take the place of attention in most layers; the others normalise queries and keys."""

from zoo.model import Model, Twin
from zoo.registry import register

LFM2_350M = register(
    Model(
        name="lfm2-350m",
        family="lfm2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="LiquidAI/LFM2-350M",
        # Pinned in the test fixtures of several public ports of the model.
        revision="f37d3f5c8c5484bc01dad379a595cf4c68c4e70e",
        prompts=("Count from one to ten.", "What makes a good map?", "How deep is the sea?"),
        traits=("some_attend",),
        # Attention between two convolutions, each with a state of its own. The published width of the feed-forward is
        # two thirds of intermediate_size, rounded up to a multiple: here 192 becomes 128.
        twin=Twin(
            "lfm2",
            add_bos=True,
            num_hidden_layers=3,
            layer_types=("conv", "full_attention", "conv"),
            intermediate_size=192,
            block_multiple_of=32,
        ),
        # Dimensions: pytorch/executorch, examples/models/lfm2/config/lfm2_350m_config.json, which names the adjusted
        # feed-forward (4608); its unadjusted width and the rest: lablup/mlxcel, src/models/lfm2_tests.rs.
        full=dict(
            hidden_size=1024,
            intermediate_size=6656,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=8,
            layer_types=(
                *("conv", "conv", "full_attention") * 3,
                *("conv", "full_attention") * 3,
                "conv",
            ),
            block_auto_adjust_ff_dim=True,
            block_ffn_dim_multiplier=1.0,
            block_multiple_of=256,
            conv_L_cache=3,
            conv_bias=False,
            vocab_size=65536,
            max_position_embeddings=128000,
            norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=True,
        ),
    )
)
