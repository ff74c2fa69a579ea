import copy

import torch

from conformance import ModelConformance
from zoo.models.glm import GLM_4_9B


class TestGLM_4_9B(ModelConformance):
    model = GLM_4_9B

    def test_rotates_half_of_each_head(self, twin):
        config = copy.deepcopy(twin.config)
        assert config.rope_parameters["partial_rotary_factor"] == 0.5
        config.rope_parameters["partial_rotary_factor"] = 1.0
        whole = type(twin)(config).eval()
        whole.load_state_dict(twin.state_dict())
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - whole(tokens).logits).abs().max() > 0.01

    def test_rotates_neighbouring_channels(self, twin, monkeypatch):
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            expected = twin(tokens).logits
            rotate = "transformers.models.glm.modeling_glm.rotate_half"
            monkeypatch.setattr(rotate, lambda x: torch.cat((-x[..., 4:], x[..., :4]), dim=-1))
            assert (twin(tokens).logits - expected).abs().max() > 0.01
