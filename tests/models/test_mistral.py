import copy

import torch

from conformance import ModelConformance
from zoo.models.mistral import MISTRAL_7B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestMistral_7B(ModelConformance):
    model = MISTRAL_7B

    def test_generates_past_the_sliding_window(self, record, generation):
        assert record.sliding_window == 16
        assert max(entry.prompt_tokens + len(entry.tokens) for entry in generation) > 2 * record.sliding_window

    def test_window_cuts_the_context_of_every_layer(self, twin):
        unlimited = copy.deepcopy(twin)
        unlimited.config.sliding_window = None
        with torch.no_grad():
            difference = (twin(TOKENS).logits - unlimited(TOKENS).logits).abs().amax(-1)[0]
        assert difference[:16].max() < 1e-4
        assert difference[16:].min() > 0.01
