import json
import os
import struct

import pytest
import torch

from conformance.sessions import SessionError
from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession, check_file
from exporters.artifact import ACCOUNT, Artifact
from exporters.pipeline import load_model


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
