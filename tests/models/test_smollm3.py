import copy

import pytest
import torch

from conformance import ModelConformance
from zoo.models.smollm3 import SMOLLM3_3B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestSmolLM3_3B(ModelConformance):
    model = SMOLLM3_3B

    @pytest.mark.parametrize("index", [0, 3])
    def test_only_the_last_layer_has_no_rotary_embedding(self, twin, index):
        assert [bool(layer.self_attn.use_rope) for layer in twin.model.layers] == [True, True, True, False]
        other = copy.deepcopy(twin)
        attention = other.model.layers[index].self_attn
        attention.use_rope = not attention.use_rope
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01
