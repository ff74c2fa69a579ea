import json

from conformance import ModelConformance
from zoo.models.mobilevitv2 import MOBILEVITV2


class TestMobileViTV2(ModelConformance):
    model = MOBILEVITV2

    def test_images_are_fed_blue_first(self):
        from zoo.checkpoints import resolve

        values = json.loads((resolve(self.model) / "preprocessor_config.json").read_text(encoding="utf-8"))
        assert values["do_flip_channel_order"]
        assert not values.get("do_normalize", False)
