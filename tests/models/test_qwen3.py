from conformance import ModelConformance
from zoo.models.qwen3 import QWEN3_0_6B


class TestQwen3_0_6B(ModelConformance):
    model = QWEN3_0_6B

    def test_heads_are_wider_than_hidden_size_over_heads(self, record):
        constants = record.checks["contract"].metrics["constants"]
        assert constants["get_head_dim"] == QWEN3_0_6B.twin.config["head_dim"] == 32
