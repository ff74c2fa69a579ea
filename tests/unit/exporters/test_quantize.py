import pytest
import torch

from exporters import ExportConfig, ExportError
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
    with pytest.raises(ExportError) as error:
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
