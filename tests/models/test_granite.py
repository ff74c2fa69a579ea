import copy

import pytest
import torch

from conformance import ModelConformance
from zoo.models.granite import GRANITE_3_3_2B

TOKENS = torch.arange(3, 60).unsqueeze(0)
MULTIPLIERS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")


class TestGranite3_3_2B(ModelConformance):
    model = GRANITE_3_3_2B

    @pytest.mark.parametrize("name", MULTIPLIERS)
    def test_multiplier_counts(self, twin, name):
        config = copy.deepcopy(twin.config)
        setattr(config, name, 1.0)
        other = type(twin)(config).eval()
        other.load_state_dict(twin.state_dict())
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01
