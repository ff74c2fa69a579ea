"""RT-DETR: queries chosen among the places of three feature maps, and deformable attention, which reads the maps at points that
it computes."""

from zoo.model import Model, Twin
from zoo.registry import register

RT_DETR_R18VD = register(
    Model(
        name="rt-detr-r18vd",
        family="rt_detr",
        task="object-detection",
        wrapper="ObjectDetectionExportableModule",
        methods=("forward",),
        hub_id="PekingU/rtdetr_r18vd",
        # As pinned in public repositories.
        revision="ac77a11ff0170a41b771c03264987f8ce2b0d753",
        prompts=("red circle", "green square", "blue triangle", "yellow cross"),
        twin=Twin(
            "rt_detr",
            image_size=64,
            # As many as the three maps have places (8 x 8, 4 x 4, 2 x 2): which of them are left out otherwise hangs on the
            # last digit of scores that mean nothing.
            num_queries=84,
            backbone_config={
                "model_type": "rt_detr_resnet",
                "embedding_size": 16,
                "hidden_sizes": [16, 32, 32, 64],
                "depths": [1, 1, 1, 1],
                "layer_type": "basic",
                "out_features": ["stage2", "stage3", "stage4"],
            },
            encoder_in_channels=(32, 32, 64),
            hidden_expansion=0.5,
            d_model=64,
            encoder_hidden_dim=64,
            decoder_in_channels=(64, 64, 64),
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            decoder_layers=2,
        ),
        # Dimensions: transformers' conversion script; preprocessing: a public transcription of its configuration.
        full=dict(
            backbone_config={
                "model_type": "rt_detr_resnet",
                "hidden_sizes": [64, 128, 256, 512],
                "depths": [2, 2, 2, 2],
                "layer_type": "basic",
                "out_features": ["stage2", "stage3", "stage4"],
            },
            encoder_in_channels=(128, 256, 512),
            hidden_expansion=0.5,
            decoder_layers=3,
            num_labels=80,
        ),
        processor=dict(size={"height": 640, "width": 640}, do_normalize=False, resample=2),
    )
)
