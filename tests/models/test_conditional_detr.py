from conformance import ModelConformance
from zoo.models.conditional_detr import CONDITIONAL_DETR_RESNET_50


class TestConditionalDETR_ResNet_50(ModelConformance):
    model = CONDITIONAL_DETR_RESNET_50
