"""Qwen2.5-VL: a vision tower whose layers attend within windows, and a decoder that knows row and column of what it sees."""

from zoo.model import Model, Twin
from zoo.prompts import LOOKING
from zoo.registry import register

QWEN2_5_VL_3B = register(
    Model(
        name="qwen2.5-vl-3b",
        family="qwen2_5_vl",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="Qwen/Qwen2.5-VL-3B-Instruct",
        # As pinned in several public repositories.
        revision="66285546d2b821cf421d4f5eb2576359d3770cd3",
        prompts=LOOKING,
        # Three by three embeddings an image, in windows of two by two that do not fit.
        twin=Twin(
            "qwen2_5_vl",
            image_size=48,
            max_seq_len=80,
            text_config=dict(rope_parameters={"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}),
            vision_config=dict(
                depth=2,
                hidden_size=64,
                intermediate_size=128,
                num_heads=4,
                out_hidden_size=64,
                patch_size=8,
                window_size=32,
                fullatt_block_indexes=[1],
            ),
            tie_word_embeddings=True,
        ),
        # Dimensions: public copies of its configuration. Images of 448 pixels.
        full=dict(
            text_config=dict(
                vocab_size=151936,
                hidden_size=2048,
                intermediate_size=11008,
                num_hidden_layers=36,
                num_attention_heads=16,
                num_key_value_heads=2,
                max_position_embeddings=128000,
                rms_norm_eps=1e-6,
                use_sliding_window=False,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
            ),
            vision_config=dict(
                depth=32,
                hidden_size=1280,
                intermediate_size=3420,
                num_heads=16,
                out_hidden_size=2048,
                patch_size=14,
                spatial_merge_size=2,
                temporal_patch_size=2,
                window_size=112,
                fullatt_block_indexes=[7, 15, 23, 31],
                tokens_per_second=2,
            ),
            tie_word_embeddings=True,
        ),
        processor=dict(size={"shortest_edge": 448**2, "longest_edge": 448**2}),
    )
)
