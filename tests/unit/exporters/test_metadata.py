"""Constant methods that a user adds: taken, refused, and in the program."""

import pytest

from conformance.sessions.executorch import ExecuTorchSession
from exporters import ExportConfig, ExportError
from exporters.artifact import Artifact
from exporters.config import read_metadata
from exporters.metadata import with_metadata
from exporters.pipeline import export
from zoo.checkpoints import resolve
from zoo.models.smollm2 import SMOLLM2_135M

CONSTANTS = {"get_max_seq_len": 64, "use_kv_cache": True, "get_bos_id": 1, "get_eos_ids": [2]}


def test_names_are_added_and_special_tokens_replaced():
    added = {"get_bos_id": 128000, "get_eos_ids": [128009, 128001], "get_author": "me", "get_scales": [0.5, 1.0]}
    assert with_metadata(CONSTANTS, added, ["forward"]) == {"get_max_seq_len": 64, "use_kv_cache": True, **added}
    assert with_metadata(CONSTANTS, {"get_max_seq_len": 64, "use_kv_cache": True}, ["forward"]) == CONSTANTS


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"get_max_seq_len": 65}, "get_max_seq_len is 65, and the program's is 64, which its model and its options fix"),
        ({"use_kv_cache": False}, "use_kv_cache is False, and the program's is True"),
        ({"use_kv_cache": 1}, "use_kv_cache is 1, and the program's is True"),
        ({"get_vocab_size": 384}, "get_vocab_size: the program has none"),
        ({"forward": 1}, "forward is a method that the program has"),
        ({"get_bos_id": [1]}, r"get_bos_id is \[1\]; runners read token ids there, such as 1"),
        ({"get_eos_ids": 2}, r"get_eos_ids is 2; runners read token ids there, such as \[2, 3\]"),
        ({"get_eos_ids": [-1]}, r"get_eos_ids is \[-1\]"),
        ({"get_bos_id": True}, "get_bos_id is True"),
    ],
)
def test_what_the_model_fixes_is_not_to_be_contradicted(metadata, says):
    with pytest.raises(ExportError, match=says):
        with_metadata(CONSTANTS, metadata, ["forward"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{get_bos_id: 1}", "is no JSON: Expecting property name .* Give an object, such as"),
        ("[1, 2]", r"metadata is \[1, 2\]; give names and values"),
        ('{"get bos": 1}', "metadata names 'get bos'; a method's name has letters"),
        ('{"get_x": null}', "metadata get_x is None; a constant method answers"),
        ('{"get_x": []}', r"metadata get_x is \[\]"),
        ('{"get_x": [1, "a"]}', "a list of one kind"),
        ('{"get_x": [1, true]}', "a list of one kind"),
        ('{"get_x": {"y": 1}}', "metadata get_x is"),
        ('{"get_x": 9223372036854775808}', "whole number of 64 bits"),
        ('{"get_x": Infinity}', "a finite fraction"),
    ],
)
def test_what_no_constant_method_can_be_is_refused(text, says):
    with pytest.raises(ExportError, match=says):
        read_metadata(text)


def test_metadata_is_read_back_from_the_account_and_from_the_program(tmp_path):
    metadata = {"get_eos_ids": [7, 8], "get_author": "me", "get_scale": 0.5, "get_layers": [4, 2], "is_small": True}
    config = ExportConfig(max_seq_len=16, metadata=metadata)
    assert config.id == ExportConfig(max_seq_len=16).id
    assert hash(config) == hash(ExportConfig(max_seq_len=16))
    assert config != ExportConfig(max_seq_len=16)
    artifact = export(resolve(SMOLLM2_135M), config, tmp_path)
    assert Artifact.load(tmp_path).config == config
    session = ExecuTorchSession(artifact.program)
    assert {name: session.constant(name) for name in metadata} == metadata
    assert session.constant("get_vocab_size") == artifact.account.constant_methods["get_vocab_size"] == 384


def test_a_contradiction_is_refused_before_anything_is_exported(tmp_path):
    config = ExportConfig(max_seq_len=16, metadata={"get_n_layers": 3})
    with pytest.raises(ExportError, match="metadata get_n_layers is 3, and the program's is 2"):
        export(resolve(SMOLLM2_135M), config, tmp_path)
    assert list(tmp_path.iterdir()) == []
