from conformance import ModelConformance
from zoo.models.detr import DETR_RESNET_50


class TestDETR_ResNet_50(ModelConformance):
    model = DETR_RESNET_50
