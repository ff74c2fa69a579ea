"""PVT: a pyramid of attention whose keys and values are reduced."""

from zoo.model import Model, Twin
from zoo.registry import register

PVT_TINY = register(
    Model(
        name="pvt-tiny",
        family="pvt",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="Zetatech/pvt-tiny-224",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin(
            "pvt",
            image_size=64,
            hidden_sizes=(64, 64, 64, 128),
            num_attention_heads=(1, 2, 2, 4),
            depths=(1, 1, 1, 1),
            mlp_ratios=(2, 2, 2, 2),
        ),
        # Dimensions: a public copy of its config.json, which agrees with PvtConfig's defaults; preprocessing: of its siblings.
        full=dict(num_labels=1000),
        processor=dict(
            size={"height": 224, "width": 224}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], resample=3
        ),
    )
)
