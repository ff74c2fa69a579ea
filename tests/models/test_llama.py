import copy
import math

import torch

from conformance import ModelConformance
from zoo.models.llama import LLAMA_3_2_1B

TOKENS = torch.arange(3, 60).unsqueeze(0)


class TestLlama3_2_1B(ModelConformance):
    model = LLAMA_3_2_1B

    def test_rope_scaling_changes_the_answer(self, twin):
        rope = twin.config.rope_parameters
        unscaled = copy.deepcopy(twin)
        unscaled.model.rotary_emb.inv_freq = rope["rope_theta"] ** -(torch.arange(0, 16, 2) / 16)
        with torch.no_grad():
            assert (twin(TOKENS).logits - unscaled(TOKENS).logits).abs().max() > 0.01

    def test_rope_frequencies_take_each_branch_of_the_scaling(self, twin):
        rope = twin.config.rope_parameters
        for pair, scaled in enumerate(twin.model.rotary_emb.inv_freq.tolist()):
            frequency = rope["rope_theta"] ** (-2 * pair / 16)
            turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
            kept = min(max((turns - 1) / (4 - 1), 0), 1)
            assert math.isclose(scaled, frequency * (kept + (1 - kept) / 32), rel_tol=1e-5)
            assert (kept == 1, 0 < kept < 1, kept == 0)[min(pair, 2)]
