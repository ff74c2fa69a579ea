import copy

import pytest
import torch

from conformance import ModelConformance
from zoo.models.qwen2 import QWEN2_5_0_5B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestQwen2_5_0_5B(ModelConformance):
    model = QWEN2_5_0_5B

    @pytest.mark.parametrize("projection", ["q_proj", "k_proj", "v_proj"])
    def test_projection_has_a_bias_that_counts(self, twin, projection):
        other = copy.deepcopy(twin)
        for layer in other.model.layers:
            torch.nn.init.zeros_(getattr(layer.self_attn, projection).bias)
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01

    def test_output_projection_has_no_bias(self, twin):
        assert all(layer.self_attn.o_proj.bias is None for layer in twin.model.layers)
