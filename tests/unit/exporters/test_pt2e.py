"""Quantization of exported programs, on toys: what is quantized, what is refused, and that it is what a reference computes."""

import pytest
import torch

from conformance.sessions.converted import ConvertedInference, ConvertedSession
from exporters import ExportConfig
from exporters.errors import NotApplicableError
from exporters.pipeline import emit, lower, trace, trace_wrapper
from exporters.wrappers import ExportableMethod, wrap

import executorch.extension.llm.custom_ops.custom_ops  # isort: skip  # noqa: F401 - registers llama::*


class Layers(torch.nn.Module):
    """As a wrapper, around two layers, one of which is called twice."""

    max_seq_len = None

    def __init__(self, config, *, linear=True):
        super().__init__()
        torch.manual_seed(0)
        self.config = config
        self.twice = torch.nn.Linear(24, 24) if linear else torch.nn.Identity()
        self.last = torch.nn.Linear(24, 8, bias=False) if linear else torch.nn.Identity()

    def forward(self, values):
        return self.last(self.twice(torch.tanh(self.twice(values))))

    def methods(self):
        length = torch.export.Dim("length", min=1, max=16)
        return {"forward": ExportableMethod(self, (torch.randn(1, 3, 24),), ({1: length},))}

    def constant_methods(self):
        return {}

    def cache_report(self):
        return []


def per_channel(weight, bits):
    """Symmetric, one scale an output channel: from the definition."""
    largest = 2 ** (bits - 1) - 1
    # Both ends have a code with 4 bits; with 8 the smallest is left out.
    half = (2**bits - 2 + (bits < 8)) / 2
    scale = weight.abs().amax(-1, keepdim=True) / half
    return torch.clamp(torch.round(weight / scale), -largest - (bits < 8), largest) * scale


def per_token(values):
    """Asymmetric, 8 bits, one scale a row: from the definition."""
    low, high = values.amin(-1, keepdim=True).clamp_max(0), values.amax(-1, keepdim=True).clamp_min(0)
    step = (high - low) / 255
    zero = torch.round(-128 - low / step)
    return (torch.clamp(torch.round(values / step) + zero, -128, 127) - zero) * step


@torch.no_grad()
@pytest.mark.parametrize(("name", "bits"), [("xnnpack_dynamic", 8), ("xnnpack_dynamic_qc4", 4)])
def test_weights_have_a_scale_a_channel_and_activations_one_a_token(name, bits):
    config = ExportConfig(pt2e_quantize=name)
    module = Layers(config)
    # The rows are of different magnitude: one scale for all of them would leave nothing of the smallest.
    values = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(1)) * torch.tensor([1e-3, 1, 0.1, 30, 1])[:, None]
    weights = {name: per_channel(module.get_submodule(name).weight, bits) for name in ("twice", "last")}
    traced = trace_wrapper(module)
    assert {(layer.name, layer.weight_bits, layer.group_size) for layer in traced.quantization.layers} == {
        ("twice", bits, 24),
        ("last", bits, 24),
    }
    expected = values
    for weight, bias, function in (
        (weights["twice"], module.twice.bias, torch.tanh),
        (weights["twice"], module.twice.bias, torch.nn.Identity()),
        (weights["last"], None, torch.nn.Identity()),
    ):
        expected = function(torch.nn.functional.linear(per_token(expected), weight, bias))
    reference = ConvertedInference(traced, config).infer({"values": values})
    # A rounding may fall on the other side; with one scale for all tokens the first one would be off by all of it.
    off = (reference - expected[0]).norm(dim=-1) / expected[0].norm(dim=-1)
    assert float(off.max()) < 0.1
    assert float((reference - module(values)[0]).abs().max()) > 1e-4
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(emit(lower(traced, config), config).buffer)
    found = program.load_method("forward").execute([values])[0]
    assert float(((found[0] - reference).norm(dim=-1) / reference.norm(dim=-1)).max()) < 0.1


@pytest.mark.parametrize(
    "ids",
    ["xnnpack-fp32-sdpa-kv-pt2e", "xnnpack-fp32-kv8-lg5.0-pt2eqc4-emb8w", "xnnpack-fp32-pt2e-static"],
)
def test_a_decoder_is_quantized_whole_and_its_sequence_may_be_fed_in_any_way(toy, ids):
    from exporters.quantize import quantize

    config = ExportConfig.from_id(ids, max_seq_len=24)
    model = toy("llama")
    linears = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    report = quantize(model, config)
    traced = trace(model, "text-generation", config)
    layers = {layer.name for layer in report.joined(traced.quantization).layers if layer.kind == "linear"}
    assert len(layers) == len(linears)
    caches = [value for name, value in traced.programs["forward"].state_dict.items() if name.startswith("cache")]
    assert len(caches) >= 4
    assert not any(bool(value.any()) for value in caches if value.dtype is torch.float32 and value.shape[-1] > 1)
    session = ConvertedSession(traced, config)
    tokens = torch.randint(0, 48, (1, 24), generator=torch.Generator().manual_seed(1))
    whole = session.forward(tokens, 0).clone()
    session.reset()
    parts = torch.cat([session.forward(tokens[:, :7], 0), session.forward(tokens[:, 7:], 7)])
    assert float((parts - whole).norm() / whole.norm()) < 0.02
    session.reset()
    single = torch.cat([session.forward(tokens[:, at : at + 1], at) for at in range(24)])
    assert float((single - whole).norm() / whole.norm()) < 0.02
    exact = toy("llama")(tokens, use_cache=False).logits[0]
    assert 1e-3 < float((whole - exact).norm() / exact.norm()) < 1


def test_what_cannot_be_quantized_after_tracing_is_refused():
    with pytest.raises(NotApplicableError, match="pt2e_quantize: the model has no linear layer; export without it"):
        trace_wrapper(Layers(ExportConfig(pt2e_quantize="xnnpack_dynamic"), linear=False))
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    sizes = dict(vocab_size=48, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0)
    t5 = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **sizes)).eval()
    with pytest.raises(NotApplicableError, match=r"T5ForConditionalGeneration becomes several methods, .* use qlinear"):
        wrap(t5, "text2text-generation", ExportConfig(pt2e_quantize="xnnpack_dynamic"))
