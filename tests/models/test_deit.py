import torch

from conformance import ModelConformance
from zoo.models.deit import DEIT_BASE


class TestDeiT(ModelConformance):
    model = DEIT_BASE

    def test_two_heads_answer_together(self, twin):
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            output = twin(image)
        both = (output.cls_logits + output.distillation_logits) / 2
        torch.testing.assert_close(output.logits, both)
        assert (output.cls_logits - output.distillation_logits).abs().max() > 0.01
