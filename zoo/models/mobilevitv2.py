"""MobileViTV2: MobileViT with separable attention."""

from zoo.model import Model, Twin
from zoo.registry import register

MOBILEVITV2 = register(
    Model(
        name="mobilevitv2-1.0",
        family="mobilevitv2",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="apple/mobilevitv2-1.0-imagenet1k-256",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("mobilevitv2", image_size=64, width_multiplier=0.25),
        # Dimensions: MobileViTV2Config's defaults are this checkpoint's; preprocessing: a public copy of a sibling's file.
        full=dict(num_labels=1000),
        processor=dict(size={"shortest_edge": 288}, crop_size={"height": 256, "width": 256}, resample=2),
    )
)
