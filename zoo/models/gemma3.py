"""Gemma 3: sliding-window and global attention layers alternate; query-key norm; scaled embeddings. The larger ones look at
images, whose embeddings attend to each other both ways."""

from zoo.model import Model, Twin
from zoo.prompts import LOOKING
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
        traits=("some_sliding",),
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
GEMMA3_4B = register(
    Model(
        name="gemma3-4b",
        family="gemma3",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="google/gemma-3-4b-it",
        # As pinned in several public repositories.
        revision="093f9f388b31de276ce2de164bdc2081324b9767",
        prompts=LOOKING,
        traits=("looks_ahead", "some_sliding"),
        twin=Twin(
            "gemma3",
            image_size=32,
            max_seq_len=72,
            text_config=dict(
                model_type="gemma3_text",
                head_dim=16,
                query_pre_attn_scalar=16,
                layer_types=["sliding_attention", "full_attention"],
            ),
            vision_config=dict(model_type="siglip_vision_model", patch_size=8, vision_use_head=False),
            mm_tokens_per_image=4,
        ),
        # Dimensions: a public copy of its configuration; positions and frequencies are the configuration class's.
        full=dict(
            text_config=dict(
                model_type="gemma3_text",
                vocab_size=262208,
                hidden_size=2560,
                intermediate_size=10240,
                num_hidden_layers=34,
                num_attention_heads=8,
                num_key_value_heads=4,
                head_dim=256,
                query_pre_attn_scalar=256,
                sliding_window=1024,
                max_position_embeddings=131072,
                rope_parameters={
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                },
            ),
            vision_config=dict(
                model_type="siglip_vision_model",
                hidden_size=1152,
                intermediate_size=4304,
                num_hidden_layers=27,
                num_attention_heads=16,
                image_size=896,
                patch_size=14,
                vision_use_head=False,
            ),
            mm_tokens_per_image=256,
        ),
        processor=dict(size={"height": 896, "width": 896}),
    )
)
