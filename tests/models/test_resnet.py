import torch

from conformance import ModelConformance
from zoo.models.resnet import RESNET_50


class TestResNet_50(ModelConformance):
    model = RESNET_50

    def test_batch_norm_has_the_statistics_of_the_reference_images(self, twin):
        norms = [module for module in twin.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert norms
        assert all(float((norm.running_var - 1).abs().max()) > 1e-3 for norm in norms)
        assert {norm.momentum for norm in norms} == {0.1}
