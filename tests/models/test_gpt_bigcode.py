import copy

import torch

from conformance import ModelConformance
from zoo.models.gpt_bigcode import SANTACODER_1_1B


class TestSantaCoder_1_1B(ModelConformance):
    model = SANTACODER_1_1B

    def test_one_key_value_head_serves_all_queries(self, record, twin):
        constants = record.checks["contract"].metrics["constants"]
        assert (constants["get_n_kv_heads"], constants["get_head_dim"]) == (1, 16)
        assert twin.transformer.h[0].attn.c_attn.weight.shape[0] == 64 + 2 * 16

    def test_positions_are_learned(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        lost = copy.deepcopy(twin)
        lost.transformer.wpe.weight.data.zero_()
        with torch.no_grad():
            assert (twin(tokens).logits - lost(tokens).logits).abs().max() > 0.01
