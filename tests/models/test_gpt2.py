import copy

import torch

from conformance import ModelConformance
from zoo.models.gpt2 import GPT2


class TestGPT2(ModelConformance):
    model = GPT2

    def test_positions_come_from_a_learned_table(self, twin):
        blind = copy.deepcopy(twin)
        blind.transformer.wpe.weight.data.zero_()
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - blind(tokens).logits).abs().max() > 0.01

    def test_projections_keep_their_weights_transposed(self, twin):
        block = twin.transformer.h[0]
        projections = (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)
        assert all(type(projection).__name__ == "Conv1D" for projection in projections)
        assert block.attn.c_attn.weight.shape == (twin.config.n_embd, 3 * twin.config.n_embd)
