"""ResNet: convolutions with residuals; batch norm throughout."""

from zoo.model import Model, Twin
from zoo.registry import register

RESNET_50 = register(
    Model(
        name="resnet-50",
        family="resnet",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="microsoft/resnet-50",
        # As pinned in several public repositories.
        revision="34c2154c194f829b11125337b98c8f5f9965ff19",
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("resnet", image_size=64, embedding_size=16, hidden_sizes=(32, 32, 64, 64), depths=(1, 1, 1, 1)),
        # Dimensions: ResNetConfig's defaults are this checkpoint's; preprocessing: a public transcription of its configuration.
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
