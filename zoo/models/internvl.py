"""InternVL: a vision tower with layer scales, four patches shuffled into one embedding, a projector before Qwen2."""

from zoo.model import Model, Twin
from zoo.prompts import LOOKING
from zoo.registry import register

INTERNVL3_1B = register(
    Model(
        name="internvl3-1b",
        family="internvl",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="OpenGVLab/InternVL3-1B-hf",
        # As pinned in several public repositories.
        revision="014c0583a0d4bedf29fbe2dbff4f865eb998e171",
        prompts=LOOKING,
        twin=Twin(
            "internvl",
            image_size=32,
            text_config=dict(model_type="qwen2"),
            vision_config=dict(attention_bias=True, patch_size=[8, 8]),
            image_seq_length=4,
            tie_word_embeddings=False,
        ),
        # Dimensions: the text's from a public copy of the original's configuration, the vision's from a public conversion
        # script; positions are Qwen2's.
        full=dict(
            text_config=dict(
                model_type="qwen2",
                vocab_size=151674,
                hidden_size=896,
                intermediate_size=4864,
                num_hidden_layers=24,
                num_attention_heads=14,
                num_key_value_heads=2,
                max_position_embeddings=32768,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
                tie_word_embeddings=False,
            ),
            vision_config=dict(
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=24,
                num_attention_heads=16,
                attention_bias=True,
                image_size=[448, 448],
                patch_size=[14, 14],
            ),
            image_seq_length=256,
            tie_word_embeddings=False,
        ),
        processor=dict(size={"height": 448, "width": 448}),
    )
)
