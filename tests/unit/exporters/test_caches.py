"""Every cache under every attention: however a sequence is fed, the logits are those of the model without any cache."""

import inspect
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from conformance.sessions.eager import EagerSession
from conformance.sessions.eager_cache import round_to_8_bits
from exporters import ExportConfig, ExportError
from exporters.attention import custom_sdpa
from exporters.attention.implementation import set_attention
from exporters.attention.storage import FloatStorage, Int8Storage
from exporters.errors import NotApplicableError
from exporters.wrappers.causal_lm import CausalLMExportableModule

import executorch.extension.llm.custom_ops.custom_ops  # isort: skip  # noqa: F401 - registers llama::*

LENGTH = 24
MODES = [(sdpa, kv) for sdpa in (False, True) for kv in (False, True)]


def chunks(length):
    """Ways to cut a sequence of ``length`` tokens."""
    return st.lists(st.integers(1, length), min_size=1, max_size=length).map(
        lambda sizes: [size for index, size in enumerate(sizes) if sum(sizes[: index + 1]) <= length]
    )


def feed(module, tokens, sizes):
    logits, position = [], 0
    for size in sizes:
        part = tokens[:, position : position + size]
        logits.append(module(part, torch.arange(position, position + size))[0])
        position += size
    return torch.cat(logits)


@pytest.mark.parametrize(("sdpa", "kv"), MODES)
def test_any_chunking_gives_the_logits_of_one_pass_without_a_cache(toy, kind, sdpa, kv):
    model = toy(kind)
    tokens = torch.randint(0, 48, (2, 1, LENGTH), generator=torch.Generator().manual_seed(1))
    expected = [model(sequence, use_cache=False).logits[0] for sequence in tokens]
    module = CausalLMExportableModule(model, ExportConfig(use_custom_sdpa=sdpa, use_custom_kv_cache=kv, max_seq_len=LENGTH))

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(which=st.integers(0, 1), sizes=chunks(LENGTH))
    def check(which, sizes):
        # One module for all examples: whatever an earlier sequence left in the cache must not be seen.
        if sizes:
            found = feed(module, tokens[which], sizes)
            torch.testing.assert_close(found, expected[which][: len(found)], atol=2e-5, rtol=0)

    check()
    for sizes in ([LENGTH], [1] * LENGTH, [4, 1, LENGTH - 5], [5, LENGTH - 5], [6, LENGTH - 6]):
        torch.testing.assert_close(feed(module, tokens[0], sizes), expected[0], atol=2e-5, rtol=0)


def test_embeddings_may_come_instead_of_token_ids(toy, kind):
    model = toy(kind)
    tokens = torch.randint(0, 48, (1, 9))
    expected = model(tokens, use_cache=False).logits[0]
    module = CausalLMExportableModule(model, ExportConfig(max_seq_len=16, use_custom_kv_cache=True), embeddings=True)
    torch.testing.assert_close(module(model.get_input_embeddings()(tokens), torch.arange(9))[0], expected, atol=2e-5, rtol=0)
    assert module.methods()["forward"].example_inputs[0].shape == (1, 3, 32)


def test_sliding_window_layers_keep_a_ring_and_the_others_everything(toy):
    config = ExportConfig(use_custom_kv_cache=True, max_seq_len=LENGTH)
    report = CausalLMExportableModule(toy("gemma3_text"), config).cache_report()
    assert [(layer["kind"], layer["capacity"]) for layer in report] == [("ring", 4), ("custom", LENGTH)]
    assert {layer["bits"] for layer in report} == {32}
    wide = CausalLMExportableModule(toy("gemma3_text", sliding_window=63), config).cache_report()
    assert [(layer["kind"], layer["sliding"]) for layer in wide] == [("custom", True), ("custom", False)]


def test_shapes_come_from_what_attention_does_not_from_hidden_size_over_heads(toy):
    module = CausalLMExportableModule(toy("qwen3"), ExportConfig(max_seq_len=8))
    assert tuple(module.cache[0].keys.shape) == (1, 2, 8, 16)
    assert module.constant_methods()["get_head_dim"] == 16


def test_a_cache_longer_than_the_context_is_refused(toy):
    with pytest.raises(ExportError, match="max_seq_len 65 exceeds the model's context of 64"):
        CausalLMExportableModule(toy("llama"), ExportConfig(max_seq_len=65))
    assert CausalLMExportableModule(toy("llama"), ExportConfig()).max_seq_len == 64


def random_model(kind, **changes):
    """A random model of an architecture that the toys do not have."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    configuration = AutoConfig.for_model(kind, vocab_size=48, hidden_size=32, **changes)
    return AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval().requires_grad_(False)


def test_state_that_there_is_no_cache_for_is_refused():
    attends_and_recurs = dict(mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=1, mamba_d_state=8)
    model = random_model(
        "falcon_h1", num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8, **attends_and_recurs
    )
    with pytest.raises(ExportError, match="keeps a LinearAttentionAndFullAttentionLayer; there are caches for full and"):
        CausalLMExportableModule(model, ExportConfig(max_seq_len=8))


def mamba(**changes):
    return random_model("mamba", num_hidden_layers=1, state_size=4, **changes)


def test_a_recurrence_takes_one_token_a_call_and_has_nothing_to_replace():
    with pytest.raises(NotApplicableError, match=r"a recurrence whose pass over several tokens .*dynamic_shapes=False"):
        CausalLMExportableModule(mamba(), ExportConfig(max_seq_len=8))
    for option in ("use_custom_sdpa", "use_custom_kv_cache"):
        with pytest.raises(NotApplicableError, match="does not attend: it has no KV cache and no SDPA to replace"):
            CausalLMExportableModule(mamba(), ExportConfig(max_seq_len=8, dynamic_shapes=False, **{option: True}))


def test_a_state_is_carried_from_token_to_token_and_begins_anew():
    model = mamba()
    tokens = torch.randint(0, 48, (2, 1, LENGTH), generator=torch.Generator().manual_seed(1))
    module = CausalLMExportableModule(model, ExportConfig(max_seq_len=LENGTH, dynamic_shapes=False))
    assert [(layer["kind"], layer["bits"], layer["sliding"]) for layer in module.cache_report()] == [("state", 32, False)]
    assert module.constant_methods()["supports_rewind"] is False
    assert "get_n_kv_heads" not in module.constant_methods()
    for sequence in (*tokens, tokens[0]):
        expected = model(sequence, use_cache=False).logits[0]
        torch.testing.assert_close(feed(module, sequence, [1] * LENGTH), expected, atol=2e-5, rtol=0)


def sink_config(sinks, window, **changes):
    options = {"use_custom_sdpa": True, "use_custom_kv_cache": True, "max_seq_len": LENGTH, **changes}
    return ExportConfig(use_attention_sink=f"{sinks},{window}", **options)


def masked(model, tokens, sinks, window):
    """Logits of one pass without any cache, from the definition of an attention sink: a mask."""
    query, key = torch.arange(tokens.shape[1])[:, None], torch.arange(tokens.shape[1])
    allowed = (key <= query) & ((key > query - window) | (key < sinks))
    mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)[None, None]
    return model(tokens, attention_mask=mask, use_cache=False).logits[0]


@pytest.mark.parametrize(("sinks", "window"), [(1, 1), (2, 5), (4, 8), (4, LENGTH), (LENGTH, 2)])
def test_an_attention_sink_forgets_what_a_mask_hides_however_a_sequence_is_fed(toy, sinks, window):
    model = toy("llama")
    tokens = torch.randint(0, 48, (2, 1, LENGTH), generator=torch.Generator().manual_seed(1))
    module = CausalLMExportableModule(model, sink_config(sinks, window))
    for sequence in (*tokens, tokens[0]):
        expected = masked(toy("llama"), sequence, sinks, window)
        for sizes in ([LENGTH], [1] * LENGTH, [4, 1, LENGTH - 5], [sinks, *[1] * (LENGTH - sinks)], [7, 9, 8]):
            torch.testing.assert_close(feed(module, sequence, sizes), expected, atol=2e-5, rtol=0)
    assert module.constant_methods()["supports_rewind"] is False


def test_only_layers_without_a_window_have_a_sink(toy):
    layers = CausalLMExportableModule(toy("gemma3_text"), sink_config(4, 8)).cache_report()
    assert [(layer["kind"], layer["capacity"], layer["sliding"]) for layer in layers] == [
        ("ring", 4, True),
        ("sink", 11, False),
    ]
    with pytest.raises(NotApplicableError, match="every attention layer of MistralForCausalLM has a window"):
        CausalLMExportableModule(toy("mistral"), sink_config(4, 8))


def local_config(windows, **changes):
    return ExportConfig(**{"use_custom_kv_cache": True, "local_global_attention": windows, "max_seq_len": LENGTH, **changes})


@pytest.mark.parametrize("sdpa", [False, True])
@pytest.mark.parametrize("window", [1, 2, 5, LENGTH - 1])
def test_local_attention_forgets_what_a_mask_hides_however_a_sequence_is_fed(toy, window, sdpa):
    model = toy("llama")
    tokens = torch.randint(0, 48, (2, 1, LENGTH), generator=torch.Generator().manual_seed(1))
    module = CausalLMExportableModule(model, local_config(str(window), use_custom_sdpa=sdpa))
    assert [(layer["kind"], layer["capacity"]) for layer in module.cache_report()] == [("ring", max(window - 1, 1))] * 2
    assert module.constant_methods()["supports_rewind"] is False
    for sequence in (*tokens, tokens[0]):
        expected = masked(toy("llama"), sequence, 0, window)
        for sizes in ([LENGTH], [1] * LENGTH, [4, 1, LENGTH - 5], [7, 9, 8]):
            found = feed(module, sequence, sizes)
            torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
            # A window that is off by one would be seen.
            for wrong in {max(window - 1, 1), window + 1} - {window}:
                assert float((found - masked(toy("llama"), sequence, 0, wrong)).abs().max()) > 1e-3


@pytest.mark.parametrize("sdpa", [False, True])
@pytest.mark.parametrize("quantized", [False, True])
def test_local_and_global_layers_are_those_of_a_model_that_has_them(toy, sdpa, quantized):
    tokens = torch.randint(0, 48, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    native = toy("qwen3", num_hidden_layers=5, use_sliding_window=True, sliding_window=5, layer_types=kinds)
    expected = native(tokens, use_cache=False).logits[0]
    plain = toy("qwen3", num_hidden_layers=5)
    assert float((plain(tokens, use_cache=False).logits[0] - expected).abs().max()) > 1e-2
    config = local_config("0,5,0", use_custom_sdpa=sdpa, quantize_kv_cache=quantized)
    eager = EagerSession(plain, LENGTH, windows=(0, 5, 0), cache_bits=8 if quantized else None).forward(tokens, 0)
    if not quantized:
        torch.testing.assert_close(eager, expected, atol=2e-5, rtol=0)
    module = CausalLMExportableModule(toy("qwen3", num_hidden_layers=5), config)
    rings = ["ring" if kind == "sliding_attention" else "custom" for kind in kinds]
    assert [layer["kind"] for layer in module.cache_report()] == rings
    for sizes in ([LENGTH], [1] * LENGTH, [4, 1, LENGTH - 5]):
        error = (feed(module, tokens, sizes) - eager).norm() / eager.norm()
        assert float(error) < (0.02 if quantized else 1e-5)


@pytest.mark.parametrize(
    ("kind", "windows", "says"),
    [
        ("gemma3_text", "5,0", "layers of Gemma3ForCausalLM have sliding windows of their own; leave it out"),
        ("mistral", "5", "layers of MistralForCausalLM have sliding windows of their own"),
        ("llama", "5,0,3", "names 3 windows, and LlamaForCausalLM has 2 layers; give at most as many"),
        ("llama", f"{LENGTH},0", "a window of 24 tokens forgets nothing of the 24 positions"),
    ],
)
def test_windows_that_could_not_be_had_are_refused(toy, kind, windows, says):
    with pytest.raises(ExportError, match=says):
        CausalLMExportableModule(toy(kind), local_config(windows))


def test_layers_that_do_not_ask_for_attention_or_do_not_attend_get_no_window():
    bloom = random_model("bloom", n_layer=2, n_head=4)
    with pytest.raises(NotApplicableError, match=r"BloomForCausalLM writes its attention out .* cannot be given windows"):
        CausalLMExportableModule(bloom, local_config("5,0"))
    kinds = dict(layer_types=["conv", "full_attention"], block_multiple_of=32)
    mixed = random_model(
        "lfm2", intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **kinds
    )
    with pytest.raises(NotApplicableError, match="layer 0 of Lfm2ForCausalLM does not attend; give it 0"):
        CausalLMExportableModule(mixed, local_config("5,0"))
    kept = [layer["kind"] for layer in CausalLMExportableModule(mixed, local_config("0,5")).cache_report()]
    assert kept == ["state", "ring"]


@pytest.mark.parametrize("sdpa", [False, True])
def test_eight_bits_are_the_same_however_a_sequence_is_fed(toy, kind, sdpa):
    config = ExportConfig(use_custom_sdpa=sdpa, use_custom_kv_cache=True, quantize_kv_cache=True, max_seq_len=LENGTH)
    module = CausalLMExportableModule(toy(kind), config)
    assert {layer["bits"] for layer in module.cache_report()} == {8}
    tokens = torch.randint(0, 48, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    exact = toy(kind)(tokens, use_cache=False).logits[0]
    expected = EagerSession(toy(kind), LENGTH, cache_bits=8).forward(tokens, 0)
    assert float((exact - expected).abs().max()) > 1e-4
    for sizes in ([LENGTH], [1] * LENGTH, [4, 1, LENGTH - 5], [5, LENGTH - 5]):
        found = feed(module, tokens, sizes)
        # A rounding may fall on the other side, where another order of additions moved a key; that costs one step of 255.
        assert float((found - expected).norm() / expected.norm()) < 0.02
        assert float((found - expected).norm()) < 0.5 * float((exact - expected).norm())


@pytest.mark.parametrize(
    "change",
    [lambda v: v, lambda v: v.abs() + 1, lambda v: -v.abs() - 1, lambda v: 1e-4 * v, lambda v: 1e3 * v, lambda v: 0 * v],
    ids=("both signs", "positive", "negative", "small", "large", "zero"),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_eight_bits_are_what_their_definition_says(change, dtype):
    values = change(torch.randn(1, 500, 2, 16, generator=torch.Generator().manual_seed(0))).to(dtype)
    storage = Int8Storage(510, 2, 16, dtype)
    storage.write(values, 3)
    found, expected = storage.read()[:, 3:503], round_to_8_bits(values)
    assert found.dtype == expected.dtype == dtype
    assert torch.equal(found, storage.rounded(values))
    assert not storage.read()[:, :3].any()
    assert not storage.read()[:, 503:].any()
    if dtype is torch.float32:
        torch.testing.assert_close(found, expected, atol=0, rtol=1e-6)
        return
    # Short numbers lie halfway between two steps often enough, and either is right.
    off = (found.float() - expected.float()).abs()
    low, high = values.float().amin(-1, keepdim=True).clamp(max=0), values.float().amax(-1, keepdim=True).clamp(min=0)
    assert bool((off <= (high - low) / 255 + torch.finfo(dtype).eps * values.float().abs().amax(-1, keepdim=True)).all())
    assert float((off > 0).float().mean()) < 0.01


@pytest.mark.parametrize("kind_of_storage", [FloatStorage, Int8Storage])
def test_values_are_written_to_the_slots_they_are_given(kind_of_storage):
    values = torch.randn(1, 3, 2, 8, generator=torch.Generator().manual_seed(0))
    storage = kind_of_storage(6, 2, 8, torch.float32)
    storage.write(values, None, torch.tensor([[5, 0, 2]]))
    assert torch.equal(storage.read()[:, [5, 0, 2]], storage.rounded(values))
    assert not storage.read()[:, [1, 3, 4]].any()


def test_custom_sdpa_refuses_an_architecture_whose_terms_it_would_drop():
    model = random_model(
        "gemma2", intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16
    )
    module = CausalLMExportableModule(model, ExportConfig(use_custom_sdpa=True, max_seq_len=16))
    with pytest.raises(NotApplicableError, match="soft-capping"):
        module(torch.zeros(1, 2, dtype=torch.long), torch.arange(2))


def test_custom_sdpa_refuses_an_architecture_that_asks_for_no_attention():
    model = random_model("bloom", n_layer=1, n_head=4)
    with pytest.raises(NotApplicableError, match="BloomForCausalLM writes its attention out"):
        CausalLMExportableModule(model, ExportConfig(use_custom_sdpa=True, max_seq_len=16))


def test_an_embedding_that_is_not_tied_cannot_be_shared(toy):
    shared = ExportConfig(recipe="portable", use_shared_embedding=True, max_seq_len=16)
    assert CausalLMExportableModule(toy("llama"), shared).config is shared
    with pytest.raises(NotApplicableError, match="the embedding of Qwen3ForCausalLM is not tied"):
        CausalLMExportableModule(toy("qwen3", tie_word_embeddings=False), shared)


def forgotten(model, monkeypatch):
    """As after a test that has removed the module: its class lives on."""
    monkeypatch.delitem(sys.modules, type(model).__module__)


def unreadable(model, monkeypatch):
    """As where the file that a class was read from is gone."""

    def getsource(_):
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", getsource)


@pytest.mark.parametrize("source", [forgotten, unreadable])
@pytest.mark.parametrize(("sdpa", "kv"), MODES)
def test_attention_is_set_also_where_transformers_cannot_read_a_models_source(toy, kind, monkeypatch, source, sdpa, kv):
    model = toy(kind)
    tokens = torch.randint(0, 48, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    expected = model(tokens, use_cache=False).logits[0]
    for each in {type(module) for module in model.modules() if isinstance(module, PreTrainedModel)}:
        monkeypatch.delattr(each, "_can_set_attn_implementation_cached_value", raising=False)
    source(model, monkeypatch)
    model.set_attn_implementation(custom_sdpa.NAME)
    assert model.config._attn_implementation == "eager"  # transformers warns, and that is all
    module = CausalLMExportableModule(model, ExportConfig(use_custom_sdpa=sdpa, use_custom_kv_cache=kv, max_seq_len=LENGTH))
    torch.testing.assert_close(feed(module, tokens, [4, 1, LENGTH - 5]), expected, atol=2e-5, rtol=0)


def test_an_attention_that_cannot_be_set_is_refused_and_nothing_is_changed():
    model = random_model("bloom", n_layer=1, n_head=4)
    with pytest.raises(NotApplicableError, match=r"BloomForCausalLM writes its attention out .* so 'executorch_custom' cannot"):
        set_attention(model, custom_sdpa.NAME)
    assert model.config._attn_implementation == "eager"
