import torch

from conformance import ModelConformance
from zoo.models.detr import DETR_RESNET_50
from zoo.twins.training import frozen_norms


class TestDETR_ResNet_50(ModelConformance):
    model = DETR_RESNET_50

    def test_frozen_batch_norm_has_the_statistics_of_the_scenes(self, twin):
        norms = frozen_norms(twin)
        assert norms
        assert all(float((norm.running_var - 1).abs().max()) > 1e-3 for norm in norms)

    def test_a_query_answers_that_nothing_was_found(self, twin):
        with torch.no_grad():
            logits = twin(torch.zeros(1, 3, 64, 64)).logits
        assert logits.shape == (1, twin.config.num_queries, twin.config.num_labels + 1)
