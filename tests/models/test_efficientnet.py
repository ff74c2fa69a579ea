import copy

import torch

from conformance import ModelConformance
from zoo.models.efficientnet import EFFICIENTNET_B0


class TestEfficientNet_B0(ModelConformance):
    model = EFFICIENTNET_B0

    def test_channels_are_weighed_by_what_all_of_the_image_holds(self, twin):
        deaf = copy.deepcopy(twin)
        for module in deaf.modules():
            if type(module).__name__ == "EfficientNetSqueezeExciteLayer":
                module.forward = lambda hidden_states: hidden_states
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert (twin(image).logits - deaf(image).logits).abs().max() > 0.01
