import copy

import torch

from conformance import ModelConformance
from zoo.models.bloom import BLOOM_560M


class TestBLOOM_560M(ModelConformance):
    model = BLOOM_560M

    def test_slopes_over_the_distance_are_its_only_positions(self, twin, monkeypatch):
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            expected = twin(tokens).logits
            slopes = "transformers.models.bloom.modeling_bloom._get_alibi_slopes"
            monkeypatch.setattr(slopes, lambda heads, device: torch.zeros(heads, device=device))
            flat = twin(tokens).logits
        assert (flat - expected).abs().max() > 0.01

    def test_normalises_its_embeddings(self, twin):
        plain = copy.deepcopy(twin)
        plain.transformer.word_embeddings_layernorm = torch.nn.Identity()
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - plain(tokens).logits).abs().max() > 0.01
