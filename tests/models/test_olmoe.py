import copy

import torch

from conformance import ModelConformance
from zoo.models.olmoe import OLMOE_1B_7B


class TestOlmoe_1B_7B(ModelConformance):
    model = OLMOE_1B_7B

    def test_weights_of_the_experts_do_not_add_up_to_one(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        normed = copy.deepcopy(twin)
        for layer in normed.model.layers:
            layer.mlp.gate.norm_topk_prob = True
        with torch.no_grad():
            assert (twin(tokens).logits - normed(tokens).logits).abs().max() > 0.01

    def test_every_expert_is_chosen_and_none_always(self, twin):
        chosen = []
        hook = twin.model.layers[0].mlp.gate.register_forward_hook(lambda _, args, out: chosen.append(out[-1]))
        with torch.no_grad():
            twin(torch.arange(3, 60).unsqueeze(0))
        hook.remove()
        tokens_of_expert = chosen[0].flatten().bincount(minlength=4)
        assert tokens_of_expert.min() > 0
        assert tokens_of_expert.max() < len(chosen[0])
