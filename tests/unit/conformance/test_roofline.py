"""What a decoded token reads, counted by hand for a model small enough for it."""

from types import SimpleNamespace

import pytest
import torch

from conformance import roofline
from conformance.roofline import DecodeWeights, decode_weights, share
from exporters.config import ExportConfig


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(100, 8)
        self.norm = torch.nn.LayerNorm(8)
        self.up = torch.nn.Linear(8, 16)
        self.head = torch.nn.Linear(16, 100, bias=False)
        self.encoder = torch.nn.Linear(8, 1000)  # not called while decoding

    def forward(self, tokens):
        return self.head(self.up(self.norm(self.embedding(tokens))))


@pytest.fixture
def found():
    model = Tiny()
    return decode_weights(model, lambda: model(torch.tensor([3])))


def test_the_layers_that_are_called_are_read_and_one_row_of_an_embedding(found):
    assert found == DecodeWeights(linear=8 * 16 + 16 * 100, others=8 + 2 * 8 + 16)


def test_a_tied_embedding_is_read_whole_by_the_output_layer():
    model = Tiny()
    model.head = torch.nn.Linear(8, 100, bias=False)
    model.head.weight = model.embedding.weight
    model.up = torch.nn.Identity()
    assert decode_weights(model, lambda: model(torch.tensor([3]))).linear == 800


def test_a_layer_that_is_called_twice_is_read_once():
    layer = torch.nn.Linear(4, 4)
    assert decode_weights(layer, lambda: layer(layer(torch.zeros(4)))) == DecodeWeights(linear=16, others=4)


def test_no_hook_is_left_even_if_decoding_fails(found):
    model = Tiny()
    with pytest.raises(TypeError):
        decode_weights(model, lambda: model(None))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("configuration", "linear", "others"),
    [
        (None, 4, 4),
        ("xnnpack-fp32", 4, 4),
        ("xnnpack-fp16", 2, 2),
        ("xnnpack-fp32-8da4w-emb8w", 0.5, 4),
        ("xnnpack-fp32-8w", 1, 4),
    ],
)
def test_bytes_follow_the_configuration(found, configuration, linear, others):
    config = None if configuration is None else ExportConfig.from_id(configuration)
    assert found.bytes(config) == found.linear * linear + found.others * others


def test_the_share_is_one_when_reading_is_all_that_takes_time():
    assert share(1e9, 0.1, 1e10) == pytest.approx(1)
    assert share(1e9, 0.4, 1e10) == pytest.approx(0.25)


def test_the_bandwidth_is_what_is_read_in_the_best_round(monkeypatch):
    moments = iter([0.0, 4.0, 10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr(roofline, "PROBE_BYTES", 4096)
    monkeypatch.setattr(roofline, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    assert roofline.read_bandwidth(rounds=3) == 4096 / 2
