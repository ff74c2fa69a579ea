"""MobileViT: inverted residuals, and attention over unfolded patches between them."""

from zoo.model import Model, Twin
from zoo.registry import register

MOBILEVIT_XXS = register(
    Model(
        name="mobilevit-xx-small",
        family="mobilevit",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        traits=("widths_of_16",),
        hub_id="apple/mobilevit-xx-small",
        revision=None,  # unpinned: none was found
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("mobilevit", image_size=64, hidden_sizes=(32, 48, 64), neck_hidden_sizes=(8, 16, 24, 32, 40, 48, 64)),
        # Dimensions and preprocessing (blue first, not normalised): its conversion script; resampling: a sibling's.
        full=dict(
            hidden_sizes=(64, 80, 96),
            neck_hidden_sizes=(16, 16, 24, 48, 64, 80, 320),
            hidden_dropout_prob=0.05,
            expand_ratio=2.0,
            num_labels=1000,
        ),
        processor=dict(size={"shortest_edge": 288}, crop_size={"height": 256, "width": 256}, resample=2),
    )
)
