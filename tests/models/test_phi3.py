import copy
import math

import pytest
import torch

from conformance import ModelConformance
from zoo.models.phi3 import PHI3_MINI, PHI4_MINI


class TestPhi3_Mini(ModelConformance):
    model = PHI3_MINI

    def test_the_window_hides_what_lies_further_back(self, twin):
        unbounded = copy.deepcopy(twin)
        unbounded.config.sliding_window = None
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            difference = (twin(tokens).logits - unbounded(tokens).logits).abs().amax(-1)[0]
        assert difference[:16].max() < 1e-4
        assert difference[16:].max() > 0.01

    @pytest.mark.configurations("xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w")
    def test_every_layer_keeps_a_ring_of_its_window(self, record):
        assert [(layer["kind"], layer["capacity"]) for layer in record.cache] == [("ring", 15)] * 2


class TestPhi4_Mini(ModelConformance):
    model = PHI4_MINI

    def test_scales_rotations_by_the_extension_of_the_context(self, twin):
        unscaled = copy.deepcopy(twin)
        assert math.isclose(twin.model.rotary_emb.attention_scaling, math.sqrt(1 + math.log(32) / math.log(64)))
        unscaled.model.rotary_emb.attention_scaling = 1.0
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - unscaled(tokens).logits).abs().max() > 0.01

    def test_rotates_three_quarters_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert config.rope_parameters["partial_rotary_factor"] == 0.75
        config.rope_parameters |= {"partial_rotary_factor": 1.0, "short_factor": [1.0] * 8, "long_factor": [1.0] * 8}
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01
