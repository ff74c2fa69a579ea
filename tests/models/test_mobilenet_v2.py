import copy

import torch

from conformance import ModelConformance
from zoo.models.mobilenet_v2 import MOBILENET_V2


class TestMobileNetV2(ModelConformance):
    model = MOBILENET_V2

    def test_images_are_padded_as_in_tensorflow(self, twin):
        assert twin.config.tf_padding
        config = copy.deepcopy(twin.config)
        config.tf_padding = False
        plain = type(twin)(config).eval()
        plain.load_state_dict(twin.state_dict())
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert (twin(image).logits - plain(image).logits).abs().max() > 0.01
