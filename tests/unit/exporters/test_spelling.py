"""What is spelled out as linear layers answers as before, and what cannot be is left alone."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from exporters.spelling import DenseExperts, spell_out_linear_layers

TOKENS = torch.randint(0, 48, (1, 12), generator=torch.Generator().manual_seed(1))
EXPERTS = dict(num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_hidden_layers=2, intermediate_size=64)
KINDS = {
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4),
    "falcon": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    "mixtral": dict(hidden_size=32, num_local_experts=4, num_experts_per_tok=2, **EXPERTS),
    "qwen3_moe": dict(hidden_size=32, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=48, **EXPERTS),
    "llama": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64),
}


def build(kind, dtype=torch.float32):
    torch.manual_seed(0)
    configuration = AutoConfig.for_model(kind, vocab_size=48, **KINDS[kind])
    model = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager", dtype=dtype)
    for name, parameter in model.named_parameters():
        # Biases begin as zeros, and experts close to it: they have to be seen.
        nn.init.normal_(parameter, std=0.2 if parameter.dim() != 1 or name.endswith("bias") else 1.0)
    return model.eval().requires_grad_(False)


def kinds(model):
    return {type(module) for module in model.modules()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_as_before(kind):
    model = build(kind)
    expected = model(TOKENS, use_cache=False).logits
    spell_out_linear_layers(model)
    torch.testing.assert_close(model(TOKENS, use_cache=False).logits, expected, atol=2e-5, rtol=1e-5)
    assert float(expected.std()) > 1e-2


@pytest.mark.parametrize("kind", ["gpt2", "falcon"])
def test_every_linear_layer_is_torchs_own(kind):
    model = build(kind)
    before = {name for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}
    assert kinds(model) - {nn.Linear} >= {each for each in kinds(model) if issubclass(each, Conv1D)}
    spell_out_linear_layers(model)
    assert {name for name, module in model.named_modules() if type(module) is nn.Linear} == before
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_conv1d_is_a_linear_layer_with_its_weight_transposed():
    holder = nn.Module()
    holder.layer = Conv1D(6, 4)
    nn.init.normal_(holder.layer.bias)
    inputs = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = holder.layer(inputs)
    spell_out_linear_layers(holder)
    assert type(holder.layer) is nn.Linear
    assert (holder.layer.in_features, holder.layer.out_features) == (4, 6)
    torch.testing.assert_close(holder.layer(inputs), expected)


def test_a_linear_layer_that_does_something_else_is_left_alone():
    class Scaled(nn.Linear):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    holder = nn.Sequential(Scaled(4, 4))
    spell_out_linear_layers(holder)
    assert type(holder[0]) is Scaled


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_dense_experts_mix_as_transformers_own_eager_experts(kind, dtype):
    model = build(kind, dtype)
    model.set_experts_implementation("eager")
    experts = model.model.layers[1].mlp.experts
    count = experts.gate_up_proj.shape[0]
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(9, 32, generator=generator).to(dtype)
    scores, chosen = torch.rand(9, count, generator=generator).to(dtype).topk(2, dim=-1)
    expected = experts(hidden, chosen, scores)
    dense = DenseExperts(experts)
    assert len(dense.up) == len(dense.down) == count
    limits = {} if dtype is torch.float32 else dict(atol=0.02 * float(expected.abs().max()), rtol=0.02)
    found = dense(hidden, chosen, scores)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, **limits)
    assert float(expected.abs().max()) > 0.1


def test_stacked_experts_become_linear_layers_of_their_own():
    model = build("mixtral")
    spell_out_linear_layers(model)
    assert sum(isinstance(module, DenseExperts) for module in model.modules()) == 2
    assert not [name for name, parameter in model.named_parameters() if parameter.dim() == 3]
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {f"model.layers.1.mlp.experts.{each}.{index}" for each in ("up", "down") for index in range(4)} <= names


def test_experts_of_another_form_are_left_alone():
    model = build("mixtral")
    experts = model.model.layers[0].mlp.experts
    experts.has_bias = True
    spell_out_linear_layers(model)
    assert model.model.layers[0].mlp.experts is experts
    assert isinstance(model.model.layers[1].mlp.experts, DenseExperts)
