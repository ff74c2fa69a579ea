from conformance import ModelConformance
from zoo.models.yolos import YOLOS_TINY


class TestYOLOS_Tiny(ModelConformance):
    model = YOLOS_TINY
