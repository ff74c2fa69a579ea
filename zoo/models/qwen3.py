"""Qwen3: query-key normalisation, and heads whose size is not hidden size / number of heads."""

from zoo.model import Model, Twin
from zoo.registry import register

QWEN3_0_6B = register(
    Model(
        name="qwen3-0.6b",
        family="qwen3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="Qwen/Qwen3-0.6B",
        revision=None,  # unpinned: no published revision was at hand
        prompts=(
            "Are seals friendly?",
            "Name three rivers.",
            "How do bees find their way home?",
            "Write a line about rain.",
        ),
        # 1024 / 16 heads would be 64, the heads are 128 wide: the twin's are 32 where 64 / 4 would be 16.
        twin=Twin("qwen3", num_attention_heads=4, num_key_value_heads=2, head_dim=32, tie_word_embeddings=True),
        # Dimensions: pytorch/executorch, examples/models/qwen3/config/0_6b_config.json; context length, tied embeddings
        # and attention_bias: the published config.json of Qwen/Qwen3-0.6B as reprinted in public model notes.
        full=dict(
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            vocab_size=151936,
            max_position_embeddings=40960,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            tie_word_embeddings=True,
            attention_bias=False,
        ),
    )
)
