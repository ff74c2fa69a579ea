import copy

import torch

from conformance import ModelConformance
from zoo.models.exaone4 import EXAONE_4_0_1_2B


class TestExaone4_0_1_2B(ModelConformance):
    model = EXAONE_4_0_1_2B

    def test_rotary_frequencies_are_scaled(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        plain = copy.deepcopy(twin)
        plain.config.rope_parameters = {"rope_type": "default", "rope_theta": 1000000.0}
        plain.model.rotary_emb = type(twin.model.rotary_emb)(plain.config)
        with torch.no_grad():
            assert (twin(tokens).logits - plain(tokens).logits).abs().max() > 0.01

    def test_layers_without_a_window_rotate(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        windowed = copy.deepcopy(twin)
        for layer in windowed.model.layers:
            layer.self_attn.sliding_window = 16  # as in the sizes that have a window, where global layers do not rotate
        with torch.no_grad():
            assert (twin(tokens).logits - windowed(tokens).logits).abs().max() > 0.01
