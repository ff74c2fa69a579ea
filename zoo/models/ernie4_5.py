"""ERNIE 4.5: rotary embeddings turn neighbouring numbers of a head, and heads are wider than hidden size / heads."""

from zoo.model import Model, Twin
from zoo.registry import register

ERNIE_4_5_0_3B = register(
    Model(
        name="ernie-4.5-0.3b",
        family="ernie4_5",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="baidu/ERNIE-4.5-0.3B-PT",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("How is bread made?", "What is a lighthouse for?", "Count from one to ten."),
        # Eight queries share a key-value head, as published. 64 / 16 heads would be 4, the heads are 16 wide.
        twin=Twin("ernie4_5", num_attention_heads=16, num_key_value_heads=2, head_dim=16),
        # Dimensions: the published config.json of baidu/ERNIE-4.5-0.3B as stored in public repositories.
        full=dict(
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=18,
            num_attention_heads=16,
            num_key_value_heads=2,
            head_dim=128,
            vocab_size=103424,
            max_position_embeddings=131072,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            use_bias=False,
            tie_word_embeddings=True,
        ),
    )
)
