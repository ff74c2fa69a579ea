import copy

import torch

from conformance import ModelConformance
from zoo.models.gptj import GPT_J_6B


class TestGPT_J_6B(ModelConformance):
    model = GPT_J_6B

    def test_rotates_a_quarter_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert 4 * config.rotary_dim == config.n_embd // config.n_head
        config.rotary_dim *= 4
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01

    def test_rotates_neighbouring_channels(self, twin, monkeypatch):
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            expected = twin(tokens).logits
            rotate = "transformers.models.gptj.modeling_gptj.rotate_every_two"
            monkeypatch.setattr(rotate, lambda x: torch.cat((-x[..., 4:], x[..., :4]), dim=-1))
            assert (twin(tokens).logits - expected).abs().max() > 0.01
