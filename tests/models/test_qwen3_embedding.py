import torch

from conformance import ModelConformance
from zoo.models.qwen3_embedding import QWEN3_EMBEDDING_0_6B


class TestQwen3Embedding_0_6B(ModelConformance):
    model = QWEN3_EMBEDDING_0_6B

    def test_has_no_output_layer(self, twin):
        assert twin.get_output_embeddings() is None
        assert twin(torch.tensor([[3, 4, 5]])).last_hidden_state.shape == (1, 3, twin.config.hidden_size)
