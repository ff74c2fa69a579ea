import copy

import torch

from conformance import ModelConformance
from zoo.models.lfm2 import LFM2_350M


class TestLfm2_350M(ModelConformance):
    model = LFM2_350M

    def test_convolutions_look_back(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        blind = copy.deepcopy(twin)
        for layer in blind.model.layers:
            if not layer.is_attention_layer:
                layer.conv.conv.weight.data[..., :-1] = 0  # keeps the tap of the token itself
        with torch.no_grad():
            assert (twin(tokens).logits - blind(tokens).logits).abs().max() > 0.01

    def test_has_convolutions_around_attention(self, twin):
        assert [layer.is_attention_layer for layer in twin.model.layers] == [False, True, False]
