import copy

import torch

from conformance import ModelConformance
from zoo.models.modernbert import MODERNBERT_BASE


class TestModernBERT(ModelConformance):
    model = MODERNBERT_BASE

    def test_two_of_three_layers_attend_to_a_window(self, twin):
        assert list(twin.config.layer_types).count("sliding_attention") == 2
        config = copy.deepcopy(twin.config)
        config.local_attention = 4
        narrow = type(twin)(config).eval()
        narrow.load_state_dict(twin.state_dict())
        tokens = torch.arange(4, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - narrow(tokens).logits).abs().max() > 0.01
