import torch

from conformance import ModelConformance
from zoo.models.eurobert import EUROBERT_210M


class TestEuroBERT_210M(ModelConformance):
    model = EUROBERT_210M

    def test_every_token_sees_the_last_one(self, twin):
        tokens = torch.arange(4, 60).unsqueeze(0)
        other = tokens.clone()
        other[0, -1] = 4
        with torch.no_grad():
            assert (twin(tokens).logits - twin(other).logits)[:, 0].abs().max() > 1e-3

    def test_output_layer_is_not_the_embedding(self, twin):
        assert twin.get_output_embeddings().weight is not twin.get_input_embeddings().weight
