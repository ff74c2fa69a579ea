import copy

import torch

from conformance import ModelConformance
from zoo.models.gpt_neox import PYTHIA_160M


class TestPythia_160M(ModelConformance):
    model = PYTHIA_160M

    def test_rotates_a_quarter_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert config.rope_parameters["partial_rotary_factor"] == 0.25
        config.rope_parameters["partial_rotary_factor"] = 1.0
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01

    def test_attention_and_mlp_read_the_same_residual(self, twin):
        sequential = copy.deepcopy(twin)
        for layer in sequential.gpt_neox.layers:
            layer.use_parallel_residual = False
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - sequential(tokens).logits).abs().max() > 0.01
