import torch

from conformance import ModelConformance
from zoo.models.mpt import MPT_7B


class TestMpt_7B(ModelConformance):
    model = MPT_7B

    def test_knows_positions_from_alibi(self, twin, monkeypatch):
        from transformers.models.mpt import modeling_mpt

        tokens = torch.arange(3, 60).unsqueeze(0)
        sloped = modeling_mpt.build_mpt_alibi_tensor
        with torch.no_grad():
            expected = twin(tokens).logits
            monkeypatch.setattr(modeling_mpt, "build_mpt_alibi_tensor", lambda *args: torch.zeros_like(sloped(*args)))
            assert (twin(tokens).logits - expected).abs().max() > 0.01

    def test_has_no_bias_and_no_position_embedding(self, twin):
        assert not [name for name, _ in twin.named_parameters() if name.endswith("bias") or "wpe" in name]
