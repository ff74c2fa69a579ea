import copy

import torch

from conformance import ModelConformance
from zoo.models.conditional_detr import CONDITIONAL_DETR_RESNET_50


class TestConditionalDETR_ResNet_50(ModelConformance):
    model = CONDITIONAL_DETR_RESNET_50

    def test_boxes_are_relative_to_the_point_that_a_query_looks_at(self, twin):
        elsewhere = copy.deepcopy(twin)
        last = elsewhere.model.decoder.ref_point_head.layers[-1]
        last.bias.data += 2.0
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert (twin(image).pred_boxes - elsewhere(image).pred_boxes)[..., :2].abs().max() > 0.01

    def test_a_class_has_a_sigmoid_and_nothing_has_none(self, twin):
        assert twin.class_labels_classifier.out_features == twin.config.num_labels
