import torch

from conformance import ModelConformance
from zoo.models.llava import LLAVA_7B


class TestLLaVA(ModelConformance):
    model = LLAVA_7B

    def test_the_last_layer_of_the_tower_is_not_looked_through(self, twin, shown):
        _, given = shown(twin)
        before = twin.get_image_features(**given).pooler_output[0]
        for weight in twin.model.vision_tower.encoder.layers[-1].parameters():
            weight.data.zero_()
        assert torch.equal(before, twin.get_image_features(**given).pooler_output[0])

    def test_executorch_s_own_runner_says_the_same(self, record):
        assert record.checks["runner"].metrics["supported"] is True
