"""OLMoE: a mixture of small experts whose weights do not add up to one; queries and keys are normalised whole."""

from zoo.model import Model, Twin
from zoo.registry import register

OLMOE_1B_7B = register(
    Model(
        name="olmoe-1b-7b",
        family="olmoe",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="allenai/OLMoE-1B-7B-0924",
        # Pinned in the sources of a public inference engine for mixtures of experts.
        revision="6d84c48581ece794365f2b8e9cfb043c68ade9c5",
        prompts=("How does a lock work?", "Name three rivers.", "Why do cats purr?"),
        # Two of four experts for each token, narrower than the hidden size, as published.
        twin=Twin("olmoe", num_key_value_heads=4, intermediate_size=32, num_experts=4, num_experts_per_tok=2),
        # Dimensions: the published config.json of allenai/OLMoE-1B-7B-0924 as quoted in the test suites of public engines;
        # context length, norm eps and rotary base: public ports of the model. Untied embeddings: its parameter count.
        full=dict(
            hidden_size=2048,
            intermediate_size=1024,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=16,
            num_experts=64,
            num_experts_per_tok=8,
            norm_topk_prob=False,
            vocab_size=50304,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=False,
        ),
    )
)
