"""Conditional DETR: the queries of its cross attention know where they look; a sigmoid a class, none for nothing."""

from zoo.model import Model, Twin
from zoo.registry import register

CONDITIONAL_DETR_RESNET_50 = register(
    Model(
        name="conditional-detr-resnet-50",
        family="conditional_detr",
        task="object-detection",
        wrapper="ObjectDetectionExportableModule",
        methods=("forward",),
        hub_id="microsoft/conditional-detr-resnet-50",
        revision=None,  # unpinned: no published revision was at hand, and its weights need the package timm
        prompts=("red circle", "green square", "blue triangle", "yellow cross"),
        twin=Twin(
            "conditional_detr",
            image_size=64,
            num_queries=8,
            encoder_layers=2,
            decoder_layers=2,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            d_model=64,
            backbone_config={
                "model_type": "resnet",
                "embedding_size": 16,
                "hidden_sizes": [32, 32, 64, 64],
                "depths": [1, 1, 1, 1],
                "out_features": ["stage4"],
            },
        ),
        # Dimensions: ConditionalDetrConfig's defaults and 91 labels (transformers' conversion script), with the same backbone
        # from transformers; preprocessing: a public transcription of its configuration.
        full=dict(backbone_config={"model_type": "resnet", "out_features": ["stage4"]}, num_labels=91),
        processor=dict(
            size={"shortest_edge": 800, "longest_edge": 1333},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=2,
        ),
    )
)
