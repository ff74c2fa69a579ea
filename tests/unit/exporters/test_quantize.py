import collections

import pytest
import torch

from exporters import ExportConfig, ExportError
from exporters.errors import NotApplicableError
from exporters.quantize import quantize

BOTH = ExportConfig(qlinear="8da4w", qembedding="8w")


def test_nothing_asked_nothing_done(toy):
    model = toy("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = quantize(model, ExportConfig())
    assert report.layers == () == report.skipped
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_every_linear_layer_and_the_embedding_are_named_with_their_groups(toy):
    report = quantize(toy("llama"), BOTH)
    linears = [layer for layer in report.layers if layer.kind == "linear"]
    assert len(linears) == 2 * 7 + 1
    assert {(layer.weight_bits, layer.group_size) for layer in linears} == {(4, 32)}
    assert [(layer.name, layer.weight_bits, layer.group_size) for layer in report.layers if layer.kind == "embedding"] == [
        ("model.embed_tokens", 8, 32)
    ]
    assert report.linear_share == 1.0


def test_a_tied_weight_is_given_to_both_before_they_part(toy):
    model = toy("llama")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert quantize(model, BOTH).untied
    assert model.get_output_embeddings().weight.block_size == (1, 32)
    assert type(model.get_output_embeddings().weight) is type(model.get_input_embeddings().weight)


def test_a_group_size_that_does_not_divide_is_refused_by_name(toy):
    model = toy("llama")
    with pytest.raises(NotApplicableError) as error:
        quantize(model, ExportConfig(qlinear="8da4w", qlinear_group_size=64))
    assert "q_proj: 32 input features are no multiple of the group size 64" in str(error.value)
    assert "--allow-skipped-layers" in str(error.value)
    assert type(model.model.layers[0].self_attn.q_proj.weight) is torch.nn.Parameter


def test_skipped_layers_are_named_and_counted(toy):
    config = ExportConfig(qlinear="8da4w", qlinear_group_size=64, allow_skipped_layers=True)
    report = quantize(toy("llama"), config)
    assert {layer.name for layer in report.layers} == {f"model.layers.{index}.mlp.down_proj" for index in (0, 1)}
    assert len(report.skipped) == 13
    down = 2 * 64 * 32
    # q and o, k and v with half the heads, gate and up, down; and the output layer.
    total = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 2 * 32 * 64 + 64 * 32) + 48 * 32
    assert report.linear_share == pytest.approx(down / total)


def test_weights_are_rounded_to_sixteen_values_a_group(toy):
    model = toy("llama")
    original = model.model.layers[0].mlp.down_proj.weight.clone()
    quantize(model, ExportConfig(qlinear="8da4w"))
    rounded = model.model.layers[0].mlp.down_proj.weight.dequantize()
    groups = rounded.reshape(-1, 32)
    assert max(len(group.unique()) for group in groups) <= 16
    step = original.reshape(-1, 32).abs().amax(1, keepdim=True) / 7.5
    assert bool(((groups - original.reshape(-1, 32)).abs() <= step).all())


def test_padding_index_is_dropped_because_it_keeps_the_embedding_from_fusing(toy):
    model = toy("llama")
    model.get_input_embeddings().padding_idx = 0
    quantize(model, ExportConfig(qembedding="8w"))
    assert model.get_input_embeddings().padding_idx is None


def test_torchao_doing_something_else_is_noticed(toy, monkeypatch):
    monkeypatch.setattr("torchao.quantization.quantize_", lambda *_, **__: None)
    with pytest.raises(ExportError, match="where groups of 32 and 4 bits were asked for"):
        quantize(toy("llama"), ExportConfig(qlinear="8da4w"))


@pytest.mark.parametrize(
    ("qlinear", "size", "expected"),
    [
        ("8da4w", None, {(4, 32): 15}),
        ("8da4w", 0, {(4, 32): 13, (4, 64): 2}),
        ("8da8w", None, {(8, 32): 13, (8, 64): 2}),
        ("8w", None, {(8, 32): 13, (8, 64): 2}),
        ("4w", None, {(4, 32): 13, (4, 64): 2}),
        ("8da4w,8da8w", 64, {(8, 32): 13, (4, 64): 2}),
    ],
)
def test_each_scheme_has_its_bits_and_groups_and_a_channel_is_a_group_of_all_its_inputs(toy, qlinear, size, expected):
    report = quantize(toy("llama"), ExportConfig(qlinear=qlinear, qlinear_group_size=size))
    assert collections.Counter((layer.weight_bits, layer.group_size) for layer in report.layers) == expected
    assert (report.skipped, report.linear_share) == ((), 1.0)


@pytest.mark.parametrize(
    ("qembedding", "size", "expected"), [("8w", None, (8, 64)), ("8w", 32, (8, 32)), ("4w", None, (4, 32)), ("4w", 0, (4, 64))]
)
def test_the_embedding_has_its_bits_and_groups(toy, qembedding, size, expected):
    model = toy("llama", hidden_size=64)
    original = model.get_input_embeddings().weight.clone()
    (layer,) = quantize(model, ExportConfig(qembedding=qembedding, qembedding_group_size=size)).layers
    assert (layer.kind, layer.weight_bits, layer.group_size) == ("embedding", *expected)
    rounded = model.get_input_embeddings().weight.dequantize()
    groups = original.reshape(-1, expected[1])
    step = groups.abs().amax(1, keepdim=True) / (2 ** (expected[0] - 1) - 0.5)
    assert bool(((rounded.reshape(-1, expected[1]) - groups).abs() <= step).all())


def test_a_group_size_that_does_not_divide_a_row_of_the_embedding_is_refused_by_name(toy):
    with pytest.raises(NotApplicableError, match=r"size 64 does not divide the 32 values of .*embed_tokens.*or 0"):
        quantize(toy("llama"), ExportConfig(qembedding="8w", qembedding_group_size=64))


def test_a_layer_that_is_never_called_is_skipped_by_name():
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    configuration = AutoConfig.for_model("mamba", vocab_size=48, hidden_size=32, num_hidden_layers=2, state_size=16)
    model = AutoModelForCausalLM.from_config(configuration).eval()
    report = quantize(model, ExportConfig(qlinear="8w"))
    never = {f"backbone.layers.{index}.mixer.dt_proj" for index in (0, 1)}
    assert {layer.name for layer in report.skipped} == never
    assert {layer.reason for layer in report.skipped} == {"the model reads its weight and never calls it as a layer"}
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert {layer.name for layer in report.layers} == set(linears) - never
    assert all(type(linears[name].weight) is torch.nn.Parameter for name in never)
    assert report.linear_share < 1
