"""Gemma 3 (text): sliding-window and global attention layers alternate; query-key norm; scaled embeddings."""

from zoo.model import Model, Twin
from zoo.registry import register

GEMMA3_270M = register(
    Model(
        name="gemma3-270m",
        family="gemma3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="google/gemma-3-270m-it",
        revision=None,  # unpinned: no published revision was at hand
        prompts=(
            "Are seals friendly?",
            "Count from one to ten.",
            "What is a lighthouse for?",
            "How is bread made?",
        ),
        # A window of 16 in a context of 64: prefill and decode cross it several times. The two kinds of layer keep
        # their own rope base, one key-value head serves all queries, and the head size differs from hidden / heads.
        twin=Twin(
            "gemma3_text",
            add_bos=True,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=16,
            layer_types=("sliding_attention", "full_attention"),
        ),
        # Dimensions: the published config.json of google/gemma-3-270m as quoted in the test suites of several public
        # ports (five sliding-window layers, then a global one, over 18 layers).
        full=dict(
            hidden_size=640,
            intermediate_size=2048,
            num_hidden_layers=18,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=256,
            query_pre_attn_scalar=256,
            vocab_size=262144,
            max_position_embeddings=32768,
            sliding_window=512,
            layer_types=(*("sliding_attention",) * 5, "full_attention") * 3,
            rms_norm_eps=1e-6,
        ),
    )
)
