import torch

from conformance import ModelConformance
from zoo.models.distilbert import DISTILBERT_BASE


class TestDistilBERT(ModelConformance):
    model = DISTILBERT_BASE

    def test_has_no_segments(self, twin):
        assert not [name for name, _ in twin.named_parameters() if "token_type" in name]

    def test_every_token_sees_the_last_one(self, twin):
        tokens = torch.arange(4, 60).unsqueeze(0)
        other = tokens.clone()
        other[0, -1] = 4
        with torch.no_grad():
            assert (twin(tokens).logits - twin(other).logits)[:, 0].abs().max() > 1e-3
