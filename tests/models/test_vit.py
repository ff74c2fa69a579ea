import copy

import torch

from conformance import ModelConformance
from zoo.models.vit import VIT_BASE


class TestViT(ModelConformance):
    model = VIT_BASE

    def test_knows_where_a_patch_lies(self, twin):
        blind = copy.deepcopy(twin)
        blind.vit.embeddings.position_embeddings.data.zero_()
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            assert (twin(image).logits - blind(image).logits).abs().max() > 0.01

    def test_the_class_token_answers(self, twin):
        assert twin.vit.embeddings.cls_token.shape == (1, 1, twin.config.hidden_size)
