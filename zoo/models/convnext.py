"""ConvNeXt: a ResNet drawn as a transformer: large depthwise convolutions, layer norm, scaled residuals."""

from zoo.model import Model, Twin
from zoo.registry import register

CONVNEXT_TINY = register(
    Model(
        name="convnext-tiny",
        family="convnext",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        traits=("widths_of_32",),
        hub_id="facebook/convnext-tiny-224",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("convnext", image_size=32, hidden_sizes=(32, 32, 64, 64), depths=(1, 1, 2, 1)),
        # Dimensions: ConvNextConfig's defaults are this checkpoint's; preprocessing: a public transcription of its file.
        full=dict(num_labels=1000),
        processor=dict(
            size={"shortest_edge": 224},
            crop_pct=0.875,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=3,
        ),
    )
)
