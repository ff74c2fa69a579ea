import torch

from conformance import ModelConformance
from zoo.models.minilm import MINILM_L6


class TestMiniLM_L6(ModelConformance):
    model = MINILM_L6

    def test_a_text_is_the_mean_of_its_tokens_and_nothing_else(self, twin):
        assert twin.pooler is None
        tokens = torch.arange(4, 60).unsqueeze(0)
        with torch.no_grad():
            output = twin(tokens)
        assert output.last_hidden_state.shape == (1, 56, twin.config.hidden_size)
        assert output.pooler_output is None
