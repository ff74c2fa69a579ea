import json
import os
import re
import struct
from types import SimpleNamespace

import pytest
import torch

from conformance.sessions import SessionError
from conformance.sessions.eager import EagerSession, baseline
from conformance.sessions.eager_cache import round_to_8_bits
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.module import ModuleSession
from conformance.sessions.program import Program, check_file
from conformance.worker import Limits
from exporters import ExportConfig
from exporters.artifact import ACCOUNT, HEADER_BYTES, Artifact, ProgramParts, program_file, program_parts
from exporters.pipeline import load_model, register_operators
from exporters.wrappers.causal_lm import CausalLMExportableModule


@pytest.fixture(scope="module")
def session(artifact):
    return ExecuTorchSession(artifact.program)


@pytest.fixture(scope="module")
def eager(gemma3_twin):
    return EagerSession(load_model(gemma3_twin), 64)


TOKENS = torch.randint(3, 300, (1, 64), generator=torch.Generator().manual_seed(3))


def test_both_sessions_answer_alike(session, eager):
    session.reset()
    eager.reset()
    for start, end in ((0, 1), (1, 18), (18, 19), (19, 64)):
        expected = eager.forward(TOKENS[:, start:end], start)
        found = session.forward(TOKENS[:, start:end], start)
        assert found.shape == expected.shape == (end - start, 384)
        assert found.dtype == torch.float32
        assert float((found - expected).abs().max()) < 1e-3


def test_an_eager_session_can_be_rewound(eager):
    eager.reset()
    whole = eager.forward(TOKENS[:, :30], 0)
    eager.forward(TOKENS[:, 40:45], 10)
    again = eager.forward(TOKENS[:, 10:30], 10)
    torch.testing.assert_close(again, whole[10:30], atol=1e-5, rtol=0)


def test_a_ring_cache_refuses_to_be_rewound_but_not_to_begin_again(session):
    session.reset()
    first = session.forward(TOKENS[:, :30], 0)
    with pytest.raises(SessionError, match="cannot go back to position 10 of 30"):
        session.forward(TOKENS[:, 10:12], 10)
    assert torch.equal(session.forward(TOKENS[:, :30], 0), first)


@pytest.fixture(scope="module")
def llama():
    """A tiny random llama, with logits large enough to differ."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    heads = dict(num_attention_heads=4, num_key_value_heads=2)
    sizes = dict(vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    configuration = AutoConfig.for_model("llama", **sizes, **heads)
    model = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(4.0 if parameter.dim() > 1 else 1.0)
    return model


@pytest.mark.parametrize(("sinks", "window"), [(4, 28), (1, 1), (3, 7), (0, 5), (4, 64)])
def test_an_eager_session_with_a_sink_is_one_pass_under_a_mask(llama, sinks, window):
    query, key = torch.arange(64)[:, None], torch.arange(64)
    allowed = (key <= query) & ((key > query - window) | (key < sinks))
    mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)[None, None]
    expected = llama(TOKENS, attention_mask=mask, use_cache=False).logits[0]
    forgets = sinks + window < 64
    assert (float((expected - llama(TOKENS, use_cache=False).logits[0]).abs().max()) > 0.05) == forgets
    session = EagerSession(llama, 64, sink=(sinks, window))
    for sizes in ((64,), (1,) * 64, (5, 30, 1, 28)):
        torch.testing.assert_close(fed(session, sizes), expected, atol=2e-5, rtol=0)
    rewound = session.forward(TOKENS[:, 40:50], 40)
    torch.testing.assert_close(rewound, expected[40:50], atol=2e-5, rtol=0)


def test_an_eager_session_with_a_sink_leaves_sliding_layers_and_other_sessions_alone(llama):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    sizes = dict(vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    configuration = AutoConfig.for_model("mistral", num_key_value_heads=2, sliding_window=40, **sizes)
    sliding = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval().requires_grad_(False)
    assert torch.equal(fed(EagerSession(sliding, 64, sink=(1, 3)), (64,)), fed(EagerSession(sliding, 64), (64,)))
    expected = fed(EagerSession(llama, 64), (64,))
    assert not torch.equal(fed(EagerSession(llama, 64, sink=(1, 3)), (64,)), expected)
    assert torch.equal(fed(EagerSession(llama, 64), (64,)), expected)


@pytest.mark.parametrize("window", [1, 7, 63])
def test_an_eager_session_with_local_layers_is_one_pass_under_a_mask(llama, window):
    query, key = torch.arange(64)[:, None], torch.arange(64)
    mask = torch.where((key <= query) & (key > query - window), 0.0, torch.finfo(torch.float32).min)[None, None]
    expected = llama(TOKENS, attention_mask=mask, use_cache=False).logits[0]
    session = EagerSession(llama, 64, windows=(window,))
    for sizes in ((64,), (1,) * 64, (5, 30, 1, 28)):
        torch.testing.assert_close(fed(session, sizes), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(session.forward(TOKENS[:, 40:50], 40), expected[40:50], atol=2e-5, rtol=0)
    # Neither all layers nor other sessions are touched.
    whole = fed(EagerSession(llama, 64), (64,))
    torch.testing.assert_close(whole, llama(TOKENS, use_cache=False).logits[0], atol=2e-5, rtol=0)
    half = fed(EagerSession(llama, 64, windows=(0, window)), (64,))
    assert min(float((half - other).abs().max()) for other in (whole, expected)) > 1e-3


def test_an_eager_session_says_which_layers_take_no_mask():
    from transformers import AutoConfig, AutoModelForCausalLM

    configuration = AutoConfig.for_model("mamba", vocab_size=384, hidden_size=32, num_hidden_layers=2, state_size=8)
    model = AutoModelForCausalLM.from_config(configuration).eval().requires_grad_(False)
    with pytest.raises(SessionError, match=r"layers \[1\] of MambaForCausalLM take no mask to put a window on"):
        EagerSession(model, 64, windows=(0, 4)).forward(TOKENS, 0)


def fed(session, sizes):
    session.reset()
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return torch.cat([session.forward(TOKENS[:, at : at + size], at) for at, size in zip(starts, sizes, strict=True)])


def test_an_eager_session_with_a_cache_of_8_bits_rounds_its_own_keys_too(llama):
    session = EagerSession(llama, 64, cache_bits=8)
    whole = fed(session, (64,))
    error = (whole - fed(EagerSession(llama, 64), (64,))).norm() / whole.norm()
    assert 1e-4 < float(error) < 0.05
    # At the first position there is one key only: its value alone is rounded, as in every later call.
    torch.testing.assert_close(fed(session, (1,) * 64)[:1], whole[:1], atol=2e-5, rtol=0)
    assert float((fed(session, (1,) * 64) - whole).norm() / whole.norm()) < 0.02


@pytest.mark.parametrize("low", [-3.0, 0.0, 2.0])
def test_eight_bits_are_even_steps_with_zero_among_them(low):
    values = torch.linspace(low, 5.0, 1000)
    found = round_to_8_bits(values)
    span = 5.0 - min(low, 0.0)
    assert float((found - values).abs().max()) <= 1.001 * span / 255
    steps = found.unique()
    assert len(steps) <= 256
    gaps = steps.diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, span / 255), atol=1e-5, rtol=0)
    assert torch.equal(round_to_8_bits(torch.tensor([0.0, low, 5.0]))[:1], torch.zeros(1))
    assert torch.equal(round_to_8_bits(found), found)


def test_a_recurrence_is_fed_one_by_one_after_the_first_call():
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    configuration = AutoConfig.for_model("mamba", vocab_size=384, hidden_size=32, num_hidden_layers=2, state_size=8)
    model = AutoModelForCausalLM.from_config(configuration).eval().requires_grad_(False)
    session, expected = EagerSession(model, 64), model(TOKENS, use_cache=False).logits[0]
    for sizes in ((64,), (1,) * 64, (5, 30, 1, 28)):
        torch.testing.assert_close(fed(session, sizes), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "configuration", ["portable-bf16", "xnnpack-fp32-8w", "xnnpack-fp32-kv8", "xnnpack-fp32-sdpa-kv-sink4w28"]
)
def test_the_baseline_rounds_and_forgets_as_the_configuration_does(gemma3_twin, eager, configuration):
    config = ExportConfig.from_id(configuration, max_seq_len=64)
    exact, found = fed(eager, (64,)), fed(baseline(gemma3_twin, config, 64), (64,))
    assert found.dtype == torch.float32
    assert 1e-4 < float((found - exact).norm() / exact.norm()) < (2 if config.attention_sink else 0.1)


def test_the_baseline_of_what_does_neither_is_eager_pytorch_itself(gemma3_twin, eager):
    config = ExportConfig.from_id("portable-fp32-shared", max_seq_len=64)
    assert torch.equal(fed(baseline(gemma3_twin, config, 64), (64,)), fed(eager, (64,)))


def test_the_module_is_a_session_too(gemma3_twin, eager):
    register_operators()
    for configuration in ("xnnpack-fp32-sdpa-kv", "portable-fp32-static"):
        config = ExportConfig.from_id(configuration, max_seq_len=64)
        session = ModuleSession(CausalLMExportableModule(load_model(gemma3_twin), config))
        torch.testing.assert_close(fed(session, (5, 30, 1, 28)), fed(eager, (64,)), atol=1e-4, rtol=0)
        assert session.rewinds == ("kv" not in configuration)
        if not session.rewinds:
            with pytest.raises(SessionError, match="cannot go back to position 10 of 64"):
                session.forward(TOKENS[:, 10:12], 10)
        with pytest.raises(SessionError, match="the cache holds 64"):
            session.forward(TOKENS[:, :2], 63)


def test_a_prompt_longer_than_the_cache_is_refused_before_the_runtime(session):
    session.reset()
    with pytest.raises(
        SessionError, match=r"65 tokens from position 0 need 65 positions, and the cache holds 64.*--max_seq_len 65"
    ):
        session.forward(torch.cat([TOKENS, TOKENS[:, :1]], dim=1), 0)
    assert session.forward(TOKENS, 0).shape == (64, 384)


def test_outputs_are_not_overwritten_by_the_next_call(session):
    session.reset()
    first = session.forward(TOKENS[:, :4], 0)
    kept = first.clone()
    session.forward(TOKENS[:, 4:8], 4)
    assert torch.equal(first, kept)


def test_constants_are_read(session):
    assert session.constant("get_max_seq_len") == 64
    assert session.constant("get_eos_ids") == [1]
    assert session.constant("absent", 7) == 7
    with pytest.raises(SessionError, match="no constant method 'absent'"):
        session.constant("absent")


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(SessionError, match=r"nowhere\.pte does not exist.*zoo export"):
        ExecuTorchSession(tmp_path / "nowhere.pte")


@pytest.mark.parametrize("size", [0, 10, 64, 5000])
def test_random_bytes_are_refused_and_the_process_survives(tmp_path, size):
    path = tmp_path / "model.pte"
    path.write_bytes(os.urandom(size))
    with pytest.raises(SessionError, match="no ExecuTorch program"):
        ExecuTorchSession(path)


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.999])
def test_a_truncated_program_is_refused_and_the_process_survives(program, tmp_path, share):
    data = program.read_bytes()
    path = tmp_path / "model.pte"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SessionError, match=r"it was truncated|does not begin like one"):
        ExecuTorchSession(path)


def test_a_damaged_body_behind_an_intact_header_is_tried_in_another_process(program, tmp_path):
    data = bytearray(program.read_bytes())
    # The root table's offset points into nowhere: the runtime rejects it or dies of it, and not here.
    data[0:4] = struct.pack("<I", 0x7FFFFFF0)
    path = tmp_path / "model.pte"
    path.write_bytes(data)
    with pytest.raises(SessionError, match="cannot be opened: the runtime"):
        ExecuTorchSession(path)


def test_an_intact_program_without_an_account_is_opened(program):
    check_file(program)
    assert ExecuTorchSession(program).forward(TOKENS[:, :3], 0).shape == (3, 384)


@pytest.mark.parametrize(
    ("limits", "told"),
    [(Limits(seconds=0.0), "took longer than the 0 s allowed"), (Limits(memory_bytes=1), "more than the 0 MiB")],
)
def test_a_file_that_does_not_end_being_opened_is_refused(program, tmp_path, monkeypatch, limits, told):
    monkeypatch.setattr("conformance.sessions.program.PROBE_LIMITS", limits)
    path = tmp_path / "model.pte"
    path.write_bytes(program.read_bytes())
    with pytest.raises(SessionError, match=f"cannot be opened: opening it .*{told}"):
        check_file(path)


@pytest.mark.parametrize(
    ("name", "stated", "told"),
    [
        ("get_max_seq_len", "many", "get_max_seq_len is 'many', and its use needs a whole number"),
        ("get_max_seq_len", [1, 2], "get_max_seq_len is [1, 2], and its use needs a whole number"),
        ("get_max_context_len", float("nan"), "get_max_context_len is nan, and its use needs a whole number"),
        ("get_max_seq_len", -1, "states that it takes -1 tokens"),
    ],
)
def test_what_a_program_states_is_looked_at(artifact, name, stated, told):
    class Stating(ExecuTorchSession):
        def constant(self, asked, default=None):
            return stated if asked == name else super().constant(asked, default)

    with pytest.raises(SessionError, match=re.escape(told)):
        Stating(artifact.program)


def test_lists_and_dtypes_that_a_program_states_are_looked_at(artifact, monkeypatch):
    session = ExecuTorchSession(artifact.program)
    assert session.integers("get_eos_ids") == tuple(session.constant("get_eos_ids"))
    monkeypatch.setattr(session, "constant", lambda name, default=None: [1, "two"] if name == "get_eos_ids" else 7)
    with pytest.raises(SessionError, match=r"get_eos_ids is \[1, 'two'\], and its use needs whole numbers"):
        session.integers("get_eos_ids")
    with pytest.raises(SessionError, match="get_dtype is 7, and those known are 5, 6, 15"):
        session.float_dtype()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([], "forward answers nothing where tensors"),
        ([1, "two"], "forward answers int, str where tensors"),
        ([torch.zeros(1, 3)], "answers [1, 3] tokens with [1, 3]"),
        ([torch.zeros(1, 2, 384)], "answers [1, 3] tokens with [1, 2, 384]"),
        (IndexError("Cannot get input"), "forward failed: Cannot get input"),
        (TypeError("no such type"), "forward failed: no such type"),
    ],
)
def test_what_a_program_answers_is_looked_at(artifact, monkeypatch, answers, told):
    def execute(inputs):
        if isinstance(answers, Exception):
            raise answers
        return answers

    session = ExecuTorchSession(artifact.program)
    monkeypatch.setitem(session._loaded, "forward", SimpleNamespace(execute=execute))
    with pytest.raises(SessionError, match=re.escape(told)):
        session.forward(TOKENS[:, :3], 0)


def test_sizes_that_a_program_does_not_state_are_an_error(artifact):
    session = Program(artifact.program)
    assert session.input_sizes() == [(1, 64), (64,)]
    assert session.output_sizes() == [(1, 64, 384)]

    def refuses(index):
        raise IndexError(f"Cannot get input tensor meta at {index}")

    for meta, told in (
        (SimpleNamespace(num_inputs=lambda: 1, input_tensor_meta=refuses), "Cannot get input tensor meta at 0"),
        (SimpleNamespace(num_inputs=lambda: 0, input_tensor_meta=refuses), "takes or answers nothing"),
    ):
        session._loaded["forward"] = SimpleNamespace(metadata=meta)
        with pytest.raises(SessionError, match=told):
            session.input_sizes()


def test_flipped_weight_bytes_are_caught_by_the_checksum(artifact, tmp_path):
    data = bytearray(artifact.program.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "model.pte").write_bytes(data)
    (tmp_path / ACCOUNT).write_text((artifact.directory / ACCOUNT).read_text())
    with pytest.raises(SessionError, match=r"the checksum of .* does not match its export\.json"):
        ExecuTorchSession(tmp_path / "model.pte")


def test_an_unreadable_account_is_named(artifact, tmp_path):
    (tmp_path / "model.pte").write_bytes(artifact.program.read_bytes())
    content = json.loads((artifact.directory / ACCOUNT).read_text())
    (tmp_path / ACCOUNT).write_text(json.dumps({**content, "surprise": 1}))
    with pytest.raises(SessionError, match=r"export\.json is not a readable account: surprise"):
        ExecuTorchSession(tmp_path / "model.pte")


def test_an_account_says_what_the_file_is(artifact):
    account = Artifact.load(artifact.directory).account
    artifact.verify()
    assert [stage.name for stage in account.stages] == ["quantize", "export", "lower", "emit"]
    assert all(stage.seconds > 0 and stage.peak_memory_bytes > 10**8 for stage in account.stages)
    assert set(account.versions) == {"torch", "transformers", "executorch", "torchao"}
    assert account.configuration_id == artifact.config.id == "xnnpack-fp32-sdpa-kv"
    assert account.delegation.delegated["aten_linear_default"] == 15
    assert "llama_custom_sdpa_default" in account.delegation.undelegated
    assert 0.5 < account.delegation.share < 1
    assert account.file.bytes * 0.5 < account.file.data_bytes < account.file.bytes == artifact.program.stat().st_size
    assert {layer["bits"] for layer in account.cache} == {32}
    assert account.realised.linear_weights == []
    assert account.constant_methods["supports_rewind"] is False


def test_the_header_states_the_program_and_all_of_the_file(program):
    data = program.read_bytes()
    parts = program_parts(data[:HEADER_BYTES])
    assert 0 < parts.program < parts.total <= len(data)
    assert program_file(program).data_bytes == len(data) - parts.program
    assert program_parts(bytes(HEADER_BYTES)) == ProgramParts(0, 0)
