import copy

import pytest
import torch

from conformance import ModelConformance
from zoo.models.starcoder2 import STARCODER2_3B


class TestStarCoder2_3B(ModelConformance):
    model = STARCODER2_3B

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
