"""SmolVLM (of the architecture Idefics 3) and SmolVLM 2: SigLIP's tower, patches shuffled into fewer embeddings, and Llama."""

from zoo.model import Model, Twin
from zoo.prompts import LOOKING
from zoo.registry import register

_TEXT = dict(
    model_type="llama",
    vocab_size=49280,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
)
_VISION = dict(
    hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, image_size=512, patch_size=16
)
_PROCESSOR = dict(size={"longest_edge": 512}, max_image_size={"longest_edge": 512}, do_image_splitting=False)
"""One tile of 512 pixels: an image is not cut into several."""

SMOLVLM_256M = register(
    Model(
        name="smolvlm-256m",
        family="smolvlm",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="HuggingFaceTB/SmolVLM-256M-Instruct",
        # As pinned in several public repositories.
        revision="7e3e67edbbed1bf9888184d9df282b700a323964",
        prompts=LOOKING,
        twin=Twin(
            "idefics3", image_size=32, text_config=dict(model_type="llama"), vision_config=dict(patch_size=8), scale_factor=2
        ),
        # Dimensions: a public copy of its configuration; they give the published number of parameters.
        full=dict(text_config=_TEXT, vision_config=_VISION, scale_factor=4, tie_word_embeddings=False),
        processor=_PROCESSOR,
    )
)
SMOLVLM2_256M = register(
    Model(
        name="smolvlm2-256m",
        family="smolvlm",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
        # As pinned in public repositories. Images only: videos need torchvision.
        revision="067788b187b95ebe7b2e040b3e4299e342e5b8fd",
        prompts=LOOKING,
        twin=Twin(
            "smolvlm", image_size=32, text_config=dict(model_type="llama"), vision_config=dict(patch_size=8), scale_factor=2
        ),
        # Dimensions: those of SmolVLM, which it was trained from.
        full=dict(text_config=_TEXT, vision_config=_VISION, scale_factor=4, tie_word_embeddings=False),
        processor=_PROCESSOR,
    )
)
