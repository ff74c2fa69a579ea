import copy

import torch

from conformance import ModelConformance
from zoo.models.stablelm import STABLELM_2_1_6B


class TestStableLm2_1_6B(ModelConformance):
    model = STABLELM_2_1_6B

    def test_most_of_a_head_does_not_rotate(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        whole = copy.deepcopy(twin)
        whole.config.rope_parameters["partial_rotary_factor"] = 1.0
        whole.model.rotary_emb = type(twin.model.rotary_emb)(whole.config)
        for layer in whole.model.layers:
            layer.self_attn.rotary_ndims = layer.self_attn.head_dim
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01

    def test_queries_keys_and_values_have_biases(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        unbiased = copy.deepcopy(twin)
        for layer in unbiased.model.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                projection.bias.data.zero_()
        with torch.no_grad():
            assert (twin(tokens).logits - unbiased(tokens).logits).abs().max() > 0.01
