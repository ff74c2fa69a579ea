import torch

from conformance import ModelConformance
from zoo.models.rt_detr import RT_DETR_R18VD


class TestRTDETR_R18vd(ModelConformance):
    model = RT_DETR_R18VD

    def test_queries_are_the_places_of_all_feature_maps(self, twin):
        with torch.no_grad():
            output = twin(torch.rand(1, 3, 64, 64))
        assert output.logits.shape[1] == 8 * 8 + 4 * 4 + 2 * 2
        scores = output.enc_topk_logits.max(-1).values
        assert bool((scores.diff(dim=1) <= 0).all())

    def test_boxes_are_refined_layer_by_layer(self, twin):
        with torch.no_grad():
            boxes = twin(torch.rand(1, 3, 64, 64)).intermediate_reference_points[0]
        assert len(boxes) == twin.config.decoder_layers == 2
        assert (boxes[0] - boxes[1]).abs().max() > 1e-3
