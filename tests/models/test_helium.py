import torch

from conformance import ModelConformance
from zoo.models.helium import HELIUM_1_PREVIEW_2B


class TestHelium1Preview_2B(ModelConformance):
    model = HELIUM_1_PREVIEW_2B

    def test_rotates_neighbours_not_halves(self, twin, monkeypatch):
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate_halves

        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            expected = twin(tokens).logits
            monkeypatch.setattr("transformers.models.helium.modeling_helium.apply_rotary_pos_emb", rotate_halves)
            assert (twin(tokens).logits - expected).abs().max() > 0.01
