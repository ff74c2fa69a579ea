"""DINOv2: ViT with scaled residuals; the classifier reads the class token and the mean of the patches."""

from zoo.model import Model, Twin
from zoo.registry import register

DINOV2_SMALL = register(
    Model(
        name="dinov2-small",
        family="dinov2",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="facebook/dinov2-small-imagenet1k-1-layer",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("dinov2", image_size=42, mlp_ratio=2),
        # Dimensions and preprocessing: its conversion script in transformers; the rest are Dinov2Config's defaults.
        full=dict(hidden_size=384, num_attention_heads=6, image_size=518, num_labels=1000),
        processor=dict(
            size={"shortest_edge": 256},
            crop_size={"height": 224, "width": 224},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=3,
        ),
    )
)
