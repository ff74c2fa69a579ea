from conformance import ModelConformance
from zoo.models.cvt import CVT_13


class TestCvT(ModelConformance):
    model = CVT_13

    def test_convolutions_make_queries_and_keys(self, twin):
        kinds = [type(module).__name__ for module in twin.modules()]
        assert kinds.count("CvtSelfAttentionConvProjection") > 0
        assert not [name for name, _ in twin.named_parameters() if "position" in name]
