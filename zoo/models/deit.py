"""DeiT: ViT with a distillation token."""

from zoo.model import Model, Twin
from zoo.registry import register

DEIT_BASE = register(
    Model(
        name="deit-base-distilled",
        family="deit",
        task="image-classification",
        wrapper="VisionEncoderExportableModule",
        methods=("forward",),
        hub_id="facebook/deit-base-distilled-patch16-224",
        # As pinned in two files of a public repository.
        revision="155831199e645cc8ec9ace65a38ff782be6217e1",
        prompts=("red circle", "green square", "blue triangle", "yellow cross", "white stripes", "blue circle"),
        twin=Twin("deit", image_size=32, patch_size=8, architectures=("DeiTForImageClassificationWithTeacher",)),
        # Dimensions: DeiTConfig's defaults, as its conversion script leaves them; preprocessing: a copy of its file.
        full=dict(num_labels=1000, architectures=("DeiTForImageClassificationWithTeacher",)),
        processor=dict(
            size={"height": 256, "width": 256},
            crop_size={"height": 224, "width": 224},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
            resample=3,
        ),
    )
)
