import torch

from conformance import ModelConformance
from zoo.models.bert import BERT_BASE


class TestBERT(ModelConformance):
    model = BERT_BASE

    def test_knows_the_segment_of_a_token(self, twin):
        tokens = torch.arange(4, 60).unsqueeze(0)
        with torch.no_grad():
            second = twin(tokens, token_type_ids=torch.ones_like(tokens)).logits
            assert (twin(tokens).logits - second).abs().max() > 0.01

    def test_output_layer_is_the_embedding(self, twin):
        assert twin.get_output_embeddings().weight is twin.get_input_embeddings().weight
