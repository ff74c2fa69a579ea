import copy

import torch

from conformance import ModelConformance
from zoo.models.mamba import MAMBA_130M


class TestMamba_130M(ModelConformance):
    model = MAMBA_130M

    def test_state_remembers_what_the_convolutions_no_longer_see(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        other = tokens.clone()
        other[0, 0] = 60
        reach = twin.config.num_hidden_layers * (twin.config.conv_kernel - 1)
        with torch.no_grad():
            difference = (twin(tokens).logits - twin(other).logits).abs()
        assert difference[:, reach + 1 :].max() > 0.01

    def test_time_step_depends_on_the_token(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        unselective = copy.deepcopy(twin)
        for block in unselective.backbone.layers:
            block.mixer.dt_proj.weight.data.zero_()
        with torch.no_grad():
            assert (twin(tokens).logits - unselective(tokens).logits).abs().max() > 0.01
