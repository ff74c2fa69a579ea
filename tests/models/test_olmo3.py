import copy

import torch

from conformance import ModelConformance
from zoo.models.olmo3 import OLMO3_7B


class TestOlmo3_7B(ModelConformance):
    model = OLMO3_7B

    def test_generates_past_the_sliding_window(self, record, generation):
        assert record.sliding_window == 16
        assert max(entry.prompt_tokens + len(entry.tokens) for entry in generation) > 2 * record.sliding_window

    def test_only_global_layers_are_stretched(self, twin):
        tokens = torch.arange(3, 60).unsqueeze(0)
        kinds = twin.config.rope_parameters
        assert (kinds["sliding_attention"]["rope_type"], kinds["full_attention"]["rope_type"]) == ("default", "yarn")
        plain = copy.deepcopy(twin)
        plain.config.rope_parameters["full_attention"] = dict(kinds["sliding_attention"])
        plain.model.rotary_emb = type(twin.model.rotary_emb)(plain.config)
        with torch.no_grad():
            assert (twin(tokens).logits - plain(tokens).logits).abs().max() > 0.01
