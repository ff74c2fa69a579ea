import pytest

from conformance import ModelConformance
from zoo.models.gemma3 import GEMMA3_270M


class TestGemma3_270M(ModelConformance):
    model = GEMMA3_270M

    def test_generates_past_the_sliding_window(self, record, generation):
        assert record.sliding_window == 16
        assert max(entry.prompt_tokens + len(entry.tokens) for entry in generation) > 2 * record.sliding_window

    @pytest.mark.configurations("xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w")
    def test_sliding_window_layers_keep_a_ring_of_their_window(self, record):
        assert [(layer["kind"], layer["capacity"]) for layer in record.cache] == [("ring", 15), ("custom", 64)]
