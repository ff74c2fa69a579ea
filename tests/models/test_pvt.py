from conformance import ModelConformance
from zoo.models.pvt import PVT_TINY


class TestPVT(ModelConformance):
    model = PVT_TINY

    def test_keys_and_values_are_fewer_than_queries(self, twin):
        ratios = [block.attention.self.sequences_reduction_ratio for stage in twin.pvt.encoder.block for block in stage]
        assert ratios == [8, 4, 2, 1]
