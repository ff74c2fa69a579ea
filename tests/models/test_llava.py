from conformance import ModelConformance
from zoo.models.llava import LLAVA_7B


class TestLLaVA(ModelConformance):
    model = LLAVA_7B

    def test_the_class_token_is_not_shown(self, twin):
        assert twin.config.vision_feature_select_strategy == "default"
        assert twin.config.vision_feature_layer == -2
