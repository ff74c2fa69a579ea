import copy

import torch

from conformance import ModelConformance
from zoo.models.gemma import GEMMA_2B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestGemma_2B(ModelConformance):
    model = GEMMA_2B

    def test_one_key_value_head_serves_all_queries(self, record):
        assert record.checks["contract"].metrics["constants"]["get_n_kv_heads"] == 1

    def test_embeddings_are_scaled_by_the_root_of_their_width(self, twin):
        embeddings = twin.get_input_embeddings()
        torch.testing.assert_close(embeddings(TOKENS), embeddings.weight[TOKENS] * twin.config.hidden_size**0.5)
        unscaled = copy.deepcopy(twin)
        unscaled.get_input_embeddings().embed_scale.fill_(1)
        with torch.no_grad():
            assert (twin(TOKENS).logits - unscaled(TOKENS).logits).abs().max() > 0.01
