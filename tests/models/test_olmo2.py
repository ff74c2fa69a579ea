import copy

import torch

from conformance import ModelConformance
from zoo.models.olmo2 import OLMO2_1B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class NormOfEachHead(torch.nn.Module):
    def __init__(self, norm, heads):
        super().__init__()
        self.norm, self.heads = norm, heads

    def forward(self, hidden):
        heads = hidden.unflatten(-1, (self.heads, -1))
        heads = heads * torch.rsqrt(heads.pow(2).mean(-1, keepdim=True) + self.norm.variance_epsilon)
        return self.norm.weight * heads.flatten(-2)


class TestOLMo2_1B(ModelConformance):
    model = OLMO2_1B

    def test_query_and_key_are_normalised_over_all_heads_at_once(self, twin):
        other = copy.deepcopy(twin)
        for layer in other.model.layers:
            layer.self_attn.q_norm = NormOfEachHead(layer.self_attn.q_norm, heads=4)
            layer.self_attn.k_norm = NormOfEachHead(layer.self_attn.k_norm, heads=4)
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01

    def test_a_layer_does_not_normalise_its_input(self, twin):
        hidden = twin.get_input_embeddings()(TOKENS)
        attention = twin.model.layers[0].self_attn
        seen = []
        hook = attention.q_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            twin(TOKENS)
        hook.remove()
        torch.testing.assert_close(seen[0], hidden)
