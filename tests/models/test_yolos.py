import copy

import torch

from conformance import ModelConformance
from zoo.models.yolos import YOLOS_TINY


class TestYOLOS_Tiny(ModelConformance):
    model = YOLOS_TINY

    def test_every_object_has_a_token(self, twin):
        tokens = twin.config.num_detection_tokens
        assert twin.vit.embeddings.detection_tokens.shape == (1, tokens, twin.config.hidden_size)
        with torch.no_grad():
            assert twin(torch.zeros(1, 3, 64, 64)).pred_boxes.shape == (1, tokens, 4)

    def test_knows_where_a_patch_lies(self, twin):
        blind = copy.deepcopy(twin)
        blind.vit.embeddings.position_embeddings.data.zero_()
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert (twin(image).pred_boxes - blind(image).pred_boxes).abs().max() > 0.01
