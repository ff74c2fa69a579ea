import copy

import torch

from conformance import ModelConformance
from zoo.models.codegen import CODEGEN_350M


class TestCodeGen_350M(ModelConformance):
    model = CODEGEN_350M

    def test_the_fused_projection_is_packed_in_four_shards(self, twin):
        unpacked = copy.deepcopy(twin)
        rows = torch.arange(3 * twin.config.n_embd).view(4, 3, -1).transpose(0, 1).flatten()
        for block in unpacked.transformer.h:
            block.attn.qkv_proj.weight.data = block.attn.qkv_proj.weight.data[rows]
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - unpacked(tokens).logits).abs().max() > 0.01

    def test_rotates_half_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert 2 * config.rotary_dim == config.n_embd // config.n_head
        config.rotary_dim *= 2
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01
