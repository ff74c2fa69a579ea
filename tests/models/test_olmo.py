import copy

import torch

from conformance import ModelConformance
from zoo.models.olmo import OLMO_1B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class RootMeanSquare(torch.nn.Module):
    def forward(self, hidden):
        return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-5)


class TestOLMo_1B(ModelConformance):
    model = OLMO_1B

    def test_norms_have_no_parameters(self, twin):
        assert [name for name, _ in twin.named_parameters() if "norm" in name] == []

    def test_norms_subtract_the_mean(self, twin):
        other = copy.deepcopy(twin)
        for layer in other.model.layers:
            layer.input_layernorm = layer.post_attention_layernorm = RootMeanSquare()
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01
