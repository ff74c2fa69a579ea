import pytest
import torch

from conformance import ModelConformance
from zoo.models.gemma3 import GEMMA3_4B, GEMMA3_270M


class TestGemma3_270M(ModelConformance):
    model = GEMMA3_270M

    def test_generates_past_the_sliding_window(self, record, generation):
        assert record.sliding_window == 16
        assert max(entry.prompt_tokens + len(entry.tokens) for entry in generation) > 2 * record.sliding_window

    @pytest.mark.configurations("xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w")
    def test_sliding_window_layers_keep_a_ring_of_their_window(self, record):
        assert [(layer["kind"], layer["capacity"]) for layer in record.cache] == [("ring", 15), ("custom", 64)]


class TestGemma3_4B(ModelConformance):
    model = GEMMA3_4B

    def test_the_embeddings_of_an_image_attend_both_ways(self, twin, shown):
        tokens, given = shown(twin)
        with torch.no_grad():
            seen = twin(tokens, **given).logits
            causal = twin(tokens, **{**given, "token_type_ids": torch.zeros_like(tokens)}).logits
        first = (tokens[0] == twin.config.image_token_id).nonzero()[0, 0]
        assert torch.allclose(seen[0, :first], causal[0, :first], atol=1e-5)
        assert (seen[0, first] - causal[0, first]).abs().max() > 0.01

    @pytest.mark.configurations("xnnpack-fp32-sdpa-kv")
    def test_the_runner_of_executorch_is_not_told_of_images(self, record):
        assert record.checks["runner"].metrics["supported"] is False
        assert "3 inputs" in record.checks["runner"].message
