from conformance import ModelConformance
from zoo.models.rt_detr import RT_DETR_R18VD


class TestRTDETR_R18vd(ModelConformance):
    model = RT_DETR_R18VD
