import copy

import torch

from conformance import ModelConformance
from zoo.models.gemma2 import GEMMA2_2B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestGemma2_2B(ModelConformance):
    model = GEMMA2_2B

    def test_attention_scores_are_soft_capped(self, twin):
        uncapped = copy.deepcopy(twin)
        for layer in uncapped.model.layers:
            layer.self_attn.attn_logit_softcapping = None
        with torch.no_grad():
            assert (twin(TOKENS).logits - uncapped(TOKENS).logits).abs().max() > 0.01

    def test_logits_are_soft_capped(self, twin):
        uncapped = copy.deepcopy(twin)
        uncapped.config.final_logit_softcapping = None
        with torch.no_grad():
            logits, raw = twin(TOKENS).logits, uncapped(TOKENS).logits
        torch.testing.assert_close(logits, 30 * torch.tanh(raw / 30))
        assert (logits - raw).abs().max() > 0.01
