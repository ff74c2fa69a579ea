"""Swin: attention in windows that are shifted every other layer, patches merged between stages."""

from zoo.model import Model, Twin
from zoo.registry import register

SWIN_TINY = register(
    Model(
        name="swin-tiny",
        family="swin",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        traits=("widths_of_32",),
        hub_id="microsoft/swin-tiny-patch4-window7-224",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        # Two stages of windows 4 x 4, one shifted in each.
        twin=Twin("swin", image_size=32, patch_size=2, embed_dim=32, depths=(2, 2), num_heads=(2, 4), window_size=4),
        # Dimensions: SwinConfig's defaults are this checkpoint's; preprocessing: a public transcription of its configuration.
        full=dict(num_labels=1000),
        processor=dict(
            size={"height": 224, "width": 224}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], resample=3
        ),
    )
)
