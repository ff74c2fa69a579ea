"""LLaVA: CLIP's image tower, of which the last layer but one is taken without its class token, and a projector before Llama."""

from zoo.model import Model, Twin
from zoo.prompts import LOOKING
from zoo.registry import register

LLAVA_7B = register(
    Model(
        name="llava-1.5-7b",
        family="llava",
        task="image-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("text_decoder", "token_embedding", "vision_encoder"),
        hub_id="llava-hf/llava-1.5-7b-hf",
        # As pinned in several public repositories.
        revision="b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
        prompts=LOOKING,
        twin=Twin(
            "llava",
            image_size=32,
            text_config=dict(model_type="llama"),
            vision_config=dict(model_type="clip_vision_model", num_hidden_layers=3, patch_size=16, projection_dim=64),
            image_seq_length=4,
        ),
        # Dimensions: LlavaConfig's defaults are this checkpoint's, but for the text's vocabulary, positions and epsilon, which
        # are those of a public copy of its configuration.
        full=dict(
            text_config=dict(model_type="llama", vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5),
            image_seq_length=576,
        ),
        processor=dict(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
    )
)
