"""Every cache under every attention: however a sequence is fed, the logits are those of the model without any cache."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters import ExportConfig, ExportError
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


def test_state_that_there_is_no_cache_for_is_refused():
    from transformers import AutoConfig, AutoModelForCausalLM

    configuration = AutoConfig.for_model("mamba", vocab_size=48, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(ExportError, match="full and sliding-window attention only"):
        CausalLMExportableModule(AutoModelForCausalLM.from_config(configuration).eval(), ExportConfig(max_seq_len=8))


def test_custom_sdpa_refuses_an_architecture_whose_terms_it_would_drop():
    from transformers import AutoConfig, AutoModelForCausalLM

    configuration = AutoConfig.for_model(
        "gemma2",
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
    )
    model = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval()
    module = CausalLMExportableModule(model, ExportConfig(use_custom_sdpa=True, max_seq_len=16))
    with pytest.raises(ExportError, match="soft-capping"):
        module(torch.zeros(1, 2, dtype=torch.long), torch.arange(2))
