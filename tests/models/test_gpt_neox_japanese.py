import copy

import torch

from conformance import ModelConformance
from zoo.models.gpt_neox_japanese import GPT_NEOX_JAPANESE_2_7B


class TestGPT_NeoX_Japanese_2_7B(ModelConformance):
    model = GPT_NEOX_JAPANESE_2_7B

    def test_only_the_last_attention_has_a_bias(self, twin):
        layers = twin.gpt_neox_japanese.layers
        assert [layer.attention.dense_bias is not None for layer in layers] == [False, True]
        without = copy.deepcopy(twin)
        without.gpt_neox_japanese.layers[-1].attention.dense_bias.data.zero_()
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - without(tokens).logits).abs().max() > 0.01
