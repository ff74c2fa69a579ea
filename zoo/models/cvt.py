"""CvT: convolutions make the tokens, the queries, the keys and the values."""

from zoo.model import Model, Twin
from zoo.registry import register

CVT_13 = register(
    Model(
        name="cvt-13",
        family="cvt",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="microsoft/cvt-13",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("cvt", image_size=64, embed_dim=(64, 64, 128), num_heads=(1, 2, 4), depth=(1, 2, 3)),
        # Dimensions: CvtConfig's defaults are this checkpoint's; preprocessing: a public transcription of its configuration.
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
