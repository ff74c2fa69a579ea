"""MobileNetV2: inverted residuals with linear bottlenecks, padded as in TensorFlow."""

from zoo.model import Model, Twin
from zoo.registry import register

MOBILENET_V2 = register(
    Model(
        name="mobilenet-v2-1.0",
        family="mobilenet_v2",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="google/mobilenet_v2_1.0_224",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("mobilenet_v2", image_size=64, depth_multiplier=0.25),
        # Dimensions (1001 with a background class) and preprocessing: its conversion script in transformers.
        full=dict(num_labels=1001, classifier_dropout_prob=0.2),
        processor=dict(
            size={"shortest_edge": 256},
            crop_size={"height": 224, "width": 224},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
            resample=2,
        ),
    )
)
