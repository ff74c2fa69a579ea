"""FocalNet: gated convolutions of growing reach take the place of attention."""

from zoo.model import Model, Twin
from zoo.registry import register

FOCALNET_TINY = register(
    Model(
        name="focalnet-tiny",
        family="focalnet",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        traits=("widths_of_32",),
        hub_id="microsoft/focalnet-tiny",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin(
            "focalnet",
            image_size=32,
            embed_dim=32,
            hidden_sizes=(32, 64),
            depths=(1, 1),
            focal_levels=(2, 2),
            focal_windows=(3, 3),
        ),
        # Dimensions and preprocessing: its conversion script in transformers; the rest are FocalNetConfig's defaults.
        full=dict(num_labels=1000),
        processor=dict(
            size={"shortest_edge": 256},
            crop_size={"height": 224, "width": 224},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=2,
        ),
    )
)
