"""Gemma 2: sliding-window and global attention layers alternate; attention scores and logits are soft-capped."""

from zoo.model import Model, Twin
from zoo.registry import register

GEMMA2_2B = register(
    Model(
        name="gemma2-2b",
        family="gemma2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("soft_capping", "some_sliding"),
        hub_id="google/gemma-2-2b",
        revision="c5ebcd40d208330abc697524c919956e692655cf",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "How is bread made?",
            "How do bees find their way home?",
            "Count from one to ten.",
        ),
        # A window of 16 in a context of 64, in the first layer of the two. The scores of a twin are small: they are capped at
        # 2 instead of 50, or nothing would notice the loss of the cap. The cap of the logits is the published one.
        twin=Twin(
            "gemma2",
            add_bos=True,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=16,
            layer_types=("sliding_attention", "full_attention"),
            attn_logit_softcapping=2.0,
            final_logit_softcapping=30.0,
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/gemma2/config/2b_config.json; context length and
        # query_pre_attn_scalar: Lightning-AI/litgpt, litgpt/config.py. Tied embeddings: the configuration class's default.
        full=dict(
            hidden_size=2304,
            intermediate_size=9216,
            num_hidden_layers=26,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=256,
            query_pre_attn_scalar=256,
            vocab_size=256000,
            max_position_embeddings=8192,
            sliding_window=4096,
            layer_types=("sliding_attention", "full_attention") * 13,
            attn_logit_softcapping=50.0,
            final_logit_softcapping=30.0,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            attention_bias=False,
        ),
    )
)
