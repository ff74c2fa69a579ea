import torch

from conformance import ModelConformance
from zoo.models.ernie4_5 import ERNIE_4_5_0_3B


class TestErnie4_5_0_3B(ModelConformance):
    model = ERNIE_4_5_0_3B

    def test_rotates_neighbours_not_halves(self, twin, monkeypatch):
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate_halves

        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            expected = twin(tokens).logits
            monkeypatch.setattr("transformers.models.ernie4_5.modeling_ernie4_5.apply_rotary_pos_emb", rotate_halves)
            assert (twin(tokens).logits - expected).abs().max() > 0.01

    def test_heads_are_wider_than_hidden_size_over_heads(self, record):
        constants = record.checks["contract"].metrics["constants"]
        assert (constants["get_head_dim"], constants["get_n_kv_heads"]) == (16, 2)
