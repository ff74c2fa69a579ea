import torch

from conformance import ModelConformance
from zoo.models.cohere import COMMAND_R_35B


class TestCommandR_35B(ModelConformance):
    model = COMMAND_R_35B

    def test_attention_and_feed_forward_read_the_same(self, twin):
        layer, read = twin.model.layers[0], []
        hooks = (
            layer.self_attn.register_forward_pre_hook(lambda _, args, kw: read.append(kw["hidden_states"]), with_kwargs=True),
            layer.mlp.register_forward_pre_hook(lambda _, args: read.append(args[0])),
        )
        try:
            with torch.no_grad():
                twin(torch.arange(3, 60).unsqueeze(0))
        finally:
            for hook in hooks:
                hook.remove()
        assert len(read) == 2
        assert torch.equal(*read)

    def test_logits_are_a_sixteenth(self, twin):
        with torch.no_grad():
            result = twin(torch.arange(3, 60).unsqueeze(0), output_hidden_states=True)
            unscaled = twin.lm_head(result.hidden_states[-1])
        assert result.logits.abs().max() > 0.01
        torch.testing.assert_close(result.logits * 16, unscaled)
