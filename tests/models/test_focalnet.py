from conformance import ModelConformance
from zoo.models.focalnet import FOCALNET_TINY


class TestFocalNet(ModelConformance):
    model = FOCALNET_TINY

    def test_does_not_attend(self, twin):
        assert not [name for name, _ in twin.named_modules() if "attention" in name]
        assert [name for name, _ in twin.named_modules() if name.endswith("modulation")]
