import torch

from conformance import ModelConformance
from zoo.models.falcon import FALCON_7B, FALCON_RW_1B


class TestFalconRw_1B(ModelConformance):
    model = FALCON_RW_1B

    def test_knows_positions_from_alibi(self, twin, monkeypatch):
        from transformers.models.falcon import modeling_falcon

        tokens = torch.arange(3, 60).unsqueeze(0)
        sloped = modeling_falcon.build_alibi_tensor
        with torch.no_grad():
            expected = twin(tokens).logits
            monkeypatch.setattr(modeling_falcon, "build_alibi_tensor", lambda *a, **k: torch.zeros_like(sloped(*a, **k)))
            assert (twin(tokens).logits - expected).abs().max() > 0.01


class TestFalcon_7B(ModelConformance):
    model = FALCON_7B

    def test_one_key_value_head_serves_all_queries(self, twin):
        attention = twin.transformer.h[0].self_attention
        fused = attention.query_key_value.weight.shape[0]
        assert fused == (attention.num_heads + 2) * attention.head_dim == 64 + 2 * 16

    def test_attention_and_feed_forward_read_the_same(self, twin):
        layer, read = twin.transformer.h[0], []
        parts = (layer.self_attention, layer.mlp)
        hooks = [part.register_forward_pre_hook(lambda _, args: read.append(args[0])) for part in parts]
        try:
            with torch.no_grad():
                twin(torch.arange(3, 60).unsqueeze(0))
        finally:
            for hook in hooks:
                hook.remove()
        assert len(read) == 2
        assert torch.equal(*read)
