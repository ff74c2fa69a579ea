"""YOLOS: a ViT with a token for each object that it may find."""

from zoo.model import Model, Twin
from zoo.registry import register

YOLOS_TINY = register(
    Model(
        name="yolos-tiny",
        family="yolos",
        task="object-detection",
        wrapper="ObjectDetectionExportableModule",
        methods=("forward",),
        hub_id="hustvl/yolos-tiny",
        # As pinned in a public repository.
        revision="1a00cc14a139ff40bac9aa00c745915cb7b5b751",
        prompts=("red circle", "green square", "blue triangle", "yellow cross"),
        twin=Twin("yolos", image_size=64, patch_size=8, num_detection_tokens=8, use_mid_position_embeddings=False),
        # Dimensions: transformers' conversion script; preprocessing: a public transcription of its configuration.
        full=dict(
            hidden_size=192,
            intermediate_size=768,
            num_attention_heads=3,
            image_size=[800, 1333],
            use_mid_position_embeddings=False,
            num_labels=91,
        ),
        processor=dict(
            size={"shortest_edge": 512, "longest_edge": 1333},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=2,
        ),
    )
)
