import copy

import torch

from conformance import ModelConformance
from zoo.models.swin import SWIN_TINY


class TestSwin(ModelConformance):
    model = SWIN_TINY

    def test_every_other_layer_shifts_its_windows(self, twin):
        shifts = [block.shift_size for stage in twin.swin.encoder.layers for block in stage.blocks]
        assert shifts == [0, 2, 0, 2]
        level = copy.deepcopy(twin)
        for stage in level.swin.encoder.layers:
            for block in stage.blocks:
                block.shift_size = 0
        image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert (twin(image).logits - level(image).logits).abs().max() > 1e-5
