import json

from conformance import ModelConformance
from zoo.models.mobilevit import MOBILEVIT_XXS


class TestMobileViT_XXS(ModelConformance):
    model = MOBILEVIT_XXS

    def test_images_are_fed_blue_first(self):
        from zoo.checkpoints import resolve

        values = json.loads((resolve(self.model) / "preprocessor_config.json").read_text(encoding="utf-8"))
        assert values["do_flip_channel_order"]
        assert not values.get("do_normalize", False)
