"""ViT: patches as tokens, a class token, learned positions."""

from zoo.model import Model, Twin
from zoo.registry import register

VIT_BASE = register(
    Model(
        name="vit-base",
        family="vit",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="google/vit-base-patch16-224",
        # As pinned in several public repositories.
        revision="3f49326eb077187dfe1c2a2bb15fbd74e6ab91e3",
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("vit", image_size=32, patch_size=8),
        # Dimensions: ViTConfig's defaults are this checkpoint's; preprocessing: a public copy of its configuration.
        full=dict(num_labels=1000),
        processor=dict(size={"height": 224, "width": 224}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5], resample=2),
    )
)
