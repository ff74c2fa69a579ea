"""Qwen3 MoE: query-key normalisation, and a mixture of experts whose chosen weights are normalised to one."""

from zoo.model import Model, Twin
from zoo.registry import register

QWEN3_30B_A3B = register(
    Model(
        name="qwen3-30b-a3b",
        family="qwen3_moe",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="Qwen/Qwen3-30B-A3B",
        revision="ad44e777bcd18fa416d9da3bd8f70d33ebb85d39",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "Are seals friendly?",
            "How is bread made?",
            "Where do swallows go in winter?",
        ),
        # Two experts of four instead of 8 of 128, in every layer. The configuration class does not declare head_dim, so
        # the twin's heads are hidden size / number of heads wide; wider ones are covered by qwen3-0.6b.
        twin=Twin(
            "qwen3_moe",
            hidden_size=128,
            num_attention_heads=8,
            num_key_value_heads=2,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=64,
            norm_topk_prob=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=False,
        ),
        # Dimensions: zyzshishui/slime, scripts/models/qwen3-30B-A3B.sh; context length and norm_topk_prob: the published
        # config.json of Qwen/Qwen3-30B-A3B as quoted in tests of public serving code.
        full=dict(
            hidden_size=2048,
            intermediate_size=6144,
            num_hidden_layers=48,
            num_attention_heads=32,
            num_key_value_heads=4,
            head_dim=128,
            vocab_size=151936,
            max_position_embeddings=40960,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
            decoder_sparse_step=1,
            mlp_only_layers=(),
            norm_topk_prob=True,
            use_sliding_window=False,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=False,
            attention_bias=False,
        ),
    )
)
