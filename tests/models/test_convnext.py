import torch

from conformance import ModelConformance
from zoo.models.convnext import CONVNEXT_TINY


class TestConvNeXt(ModelConformance):
    model = CONVNEXT_TINY

    def test_convolutions_are_depthwise_and_large(self, twin):
        depthwise = [module for module in twin.modules() if isinstance(module, torch.nn.Conv2d) and module.groups > 1]
        assert {module.kernel_size for module in depthwise} == {(7, 7)}
        assert not [module for module in twin.modules() if isinstance(module, torch.nn.BatchNorm2d)]
