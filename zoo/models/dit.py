"""DiT: a BEiT for pages of documents, with absolute positions, scaled residuals and mean pooling."""

from zoo.model import Model, Twin
from zoo.registry import register

DIT_BASE = register(
    Model(
        name="dit-base-rvlcdip",
        family="dit",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="microsoft/dit-base-finetuned-rvlcdip",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("beit", image_size=32, patch_size=8, use_absolute_position_embeddings=True),
        # Dimensions and resampling: its conversion script in transformers; the rest are BeitConfig's defaults.
        full=dict(use_absolute_position_embeddings=True, num_labels=16),
        processor=dict(
            size={"height": 224, "width": 224},
            do_center_crop=False,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
            resample=2,
        ),
    )
)
