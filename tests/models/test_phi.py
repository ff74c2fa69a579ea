import copy

import torch

from conformance import ModelConformance
from zoo.models.phi import PHI_1_5


class TestPhi_1_5(ModelConformance):
    model = PHI_1_5

    def test_rotates_half_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert config.rope_parameters["partial_rotary_factor"] == 0.5
        config.rope_parameters["partial_rotary_factor"] = 1.0
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01

    def test_the_output_layer_has_a_bias(self, twin):
        without = copy.deepcopy(twin)
        without.lm_head.bias.data.zero_()
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - without(tokens).logits).abs().max() > 0.01
