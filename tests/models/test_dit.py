import copy

import torch

from conformance import ModelConformance
from zoo.models.dit import DIT_BASE


class TestDiT(ModelConformance):
    model = DIT_BASE

    def test_positions_are_absolute_and_patches_are_averaged(self, twin):
        assert twin.config.use_absolute_position_embeddings
        assert not twin.config.use_relative_position_bias
        blind = copy.deepcopy(twin)
        blind.beit.embeddings.position_embeddings.data.zero_()
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            assert (twin(image).logits - blind(image).logits).abs().max() > 0.01
