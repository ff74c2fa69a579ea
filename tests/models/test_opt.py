import copy

import torch

from conformance import ModelConformance
from zoo.models.opt import OPT_125M


class TestOPT_125M(ModelConformance):
    model = OPT_125M

    def test_positions_start_at_the_third_row_of_their_table(self, twin):
        shifted = copy.deepcopy(twin)
        table = shifted.model.decoder.embed_positions
        assert table.num_embeddings == twin.config.max_position_embeddings + 2
        table.offset = 0
        tokens = torch.arange(3, 60).unsqueeze(0)
        with torch.no_grad():
            assert (twin(tokens).logits - shifted(tokens).logits).abs().max() > 0.01
