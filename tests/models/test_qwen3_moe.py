import copy

import torch

from conformance import ModelConformance
from zoo.models.qwen3_moe import QWEN3_30B_A3B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestQwen3_30B_A3B(ModelConformance):
    model = QWEN3_30B_A3B

    def test_each_expert_is_chosen(self, twin):
        chosen = []
        hooks = [
            layer.mlp.gate.register_forward_hook(lambda _, inputs, outputs: chosen.append(outputs[2]))
            for layer in twin.model.layers
        ]
        with torch.no_grad():
            twin(TOKENS)
        for hook in hooks:
            hook.remove()
        assert [set(experts.flatten().tolist()) for experts in chosen] == [{0, 1, 2, 3}] * len(twin.model.layers)

    def test_weights_of_the_chosen_experts_are_normalised(self, twin):
        other = copy.deepcopy(twin)
        for layer in other.model.layers:
            layer.mlp.gate.norm_topk_prob = False
        with torch.no_grad():
            assert (twin(TOKENS).logits - other(TOKENS).logits).abs().max() > 0.01
