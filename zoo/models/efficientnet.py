"""EfficientNet: inverted residuals with squeeze and excitation, scaled together."""

from zoo.model import Model, Twin
from zoo.registry import register

EFFICIENTNET_B0 = register(
    Model(
        name="efficientnet-b0",
        family="efficientnet",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="google/efficientnet-b0",
        # As pinned in one public repository.
        revision="3d8d75d0812b65064f0151b456f869c6344bf20c",
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin(
            "efficientnet",
            image_size=64,
            width_coefficient=0.5,
            depth_coefficient=0.5,
            hidden_dim=640,
            num_block_repeats=(1,) * 7,
        ),
        # Dimensions: its conversion script in transformers; preprocessing: a public copy of a sibling's configuration.
        full=dict(
            image_size=224, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, dropout_rate=0.2, num_labels=1000
        ),
        processor=dict(
            size={"height": 224, "width": 224},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.47853944, 0.4732864, 0.47434163],
            resample=0,
        ),
    )
)
