"""Checkpoints are data: whatever a stranger puts into one, no code of it is run, no file elsewhere is read, and what would not
end is ended."""

import contextlib
import json
import os
import pickle
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch

from conformance import detecting
from conformance.errors import ConformanceError
from conformance.inference.base import read_tokenizer
from conformance.inference.speech import read_extractor
from conformance.trail import CellRequest
from conformance.worker import Limits, run_isolated
from exporters.errors import ExportError
from exporters.pipeline import load_model
from zoo.checkpoints import DEEPEST, SETTINGS_BYTES, VOCABULARY_BYTES, check_directory, check_files
from zoo.errors import ZooError


@pytest.fixture
def checkpoint(gemma3_twin, tmp_path):
    """A checkpoint that is sound, to be spoilt."""
    place = tmp_path / "checkpoint"
    shutil.copytree(gemma3_twin, place)
    assert check_directory(place) == place
    return place


@pytest.fixture
def sentinel(tmp_path):
    """A file that hostile code makes when it is run."""
    return tmp_path / "it-was-run"


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# Code


def test_the_pickle_of_these_tests_runs_code_where_it_is_loaded(sentinel):
    pickle.loads(pickle.dumps(_Touch(sentinel)))
    assert sentinel.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model.pth"])
def test_pickled_weights_are_refused_and_not_loaded_beside_others_either(checkpoint, sentinel, name):
    torch.save({"weight": _Touch(sentinel)}, checkpoint / name)
    load_model(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ZooError, match=rf"{name} is pickled and never loaded"):
        check_directory(checkpoint)
    with pytest.raises(ExportError, match=r"cannot load the checkpoint"):
        load_model(checkpoint)
    assert not sentinel.exists()


def test_a_pickle_that_is_called_safetensors_is_refused(checkpoint, sentinel):
    torch.save({"weight": _Touch(sentinel)}, checkpoint / "model.safetensors")
    with pytest.raises(ExportError, match=r"cannot load the checkpoint"):
        load_model(checkpoint)
    assert not sentinel.exists()


def evil(checkpoint, sentinel):
    (checkpoint / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(sentinel)!r}).touch()\n"
        "class Evil:\n    @classmethod\n    def from_pretrained(cls, *args, **kwargs):\n        return cls()\n"
    )


def test_code_of_a_model_is_refused(checkpoint, sentinel, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    evil(checkpoint, sentinel)
    mapping = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    change(checkpoint / "config.json", auto_map=mapping)
    load_model(checkpoint)  # an architecture that transformers has needs no such code
    change(checkpoint / "config.json", model_type="evil")
    with pytest.raises(ExportError, match=r"trust_remote_code|custom code"):
        load_model(checkpoint)
    assert not sentinel.exists()


def test_code_of_a_tokenizer_is_refused(checkpoint, sentinel, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    evil(checkpoint, sentinel)
    change(checkpoint / "tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    change(checkpoint / "config.json", model_type="evil")
    with contextlib.suppress(ConformanceError):  # or a tokenizer of transformers' own reads tokenizer.json
        assert type(read_tokenizer(checkpoint)).__module__.startswith("transformers.")
    assert not sentinel.exists()


@pytest.mark.parametrize("read", [detecting.image_processor, read_extractor])
def test_code_of_a_processor_is_refused_without_a_question(checkpoint, sentinel, monkeypatch, read):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    evil(checkpoint, sentinel)
    auto = {"AutoImageProcessor": "evil.Evil", "AutoFeatureExtractor": "evil.Evil"}
    named = {"image_processor_type": "Evil", "feature_extractor_type": "Evil"}
    (checkpoint / "preprocessor_config.json").write_text(json.dumps({**named, "auto_map": auto}))
    change(checkpoint / "config.json", model_type="evil", auto_map=auto)
    with pytest.raises((ConformanceError, ValueError), match=r"custom code|trust_remote_code"):
        read(checkpoint)
    assert not sentinel.exists()


def chat(checkpoint, template):
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
    tokens.chat_template = template
    return tokens.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|not safe"),
        ("{{ cycler.__init__.__globals__.os.system('touch it') }}", "unsafe|undefined"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import '/etc/passwd' as secrets %}{{ secrets }}", "no loader"),
        ("{% for i in range(10 ** 12) %}{{ i }}{% endfor %}", "Range too big"),
        ("{{ open('/etc/passwd').read() }}", "'open' is undefined"),
    ],
)
def test_a_chat_template_has_no_way_out_of_its_sandbox(checkpoint, template, why):
    assert "hello" in chat(checkpoint, "{{ messages[0].content }}")
    with pytest.raises(Exception, match=why):
        chat(checkpoint, template)


# Places


@pytest.mark.parametrize(
    "name",
    ["../elsewhere.safetensors", "/etc/passwd", "sub/model.safetensors", "..\\elsewhere.safetensors", "model.bin", "a\0b", ""],
)
def test_an_index_names_files_beside_it_only(checkpoint, name):
    index = checkpoint / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "model.safetensors", "b": name}}))
    with pytest.raises(ZooError, match=r"only .*safetensors files beside it are read"):
        check_directory(checkpoint)


@pytest.mark.parametrize("index", [[], {}, {"weight_map": []}, {"weight_map": {"a": "absent.safetensors"}}])
def test_an_index_that_is_none_is_refused(checkpoint, index):
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ZooError, match=r"no index of weights|is not there"):
        check_directory(checkpoint)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_out_of_the_directory_is_not_followed(checkpoint, name, absolute):
    secret = checkpoint.parent / f"secret-{name}"
    if (checkpoint / name).exists():
        (checkpoint / name).rename(secret)
    else:
        secret.write_text("secret")
    (checkpoint / name).symlink_to(secret if absolute else Path("..") / secret.name)
    with pytest.raises(ZooError, match=r"is a link out of its directory"):
        check_directory(checkpoint)


def test_links_of_the_hubs_cache_lead_to_its_blobs_and_nowhere_else(checkpoint, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in checkpoint.iterdir():
        if path.is_file():
            shutil.copyfile(path, blobs / path.name)
            (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert check_directory(snapshot) == snapshot
    (snapshot / "generation_config.json").unlink()
    (snapshot / "generation_config.json").symlink_to("/etc/hostname")
    with pytest.raises(ZooError, match=r"is a link out of its directory"):
        check_directory(snapshot)


def test_a_link_that_leads_in_a_circle_and_a_pipe_are_refused(checkpoint):
    os.mkfifo(checkpoint / "added_tokens.json")
    with pytest.raises(ZooError, match=r"is no file"):
        check_directory(checkpoint)
    (checkpoint / "added_tokens.json").unlink()
    (checkpoint / "added_tokens.json").symlink_to("added_tokens.json")
    with pytest.raises((ZooError, OSError, RuntimeError), match=r"is no file|loop|Too many levels"):
        check_directory(checkpoint)


# Sizes


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja", "vocab.txt"])
def test_ten_gigabytes_are_not_read(checkpoint, name):
    with (checkpoint / name).open("wb") as file:
        file.truncate(10 << 30)  # sparse: it takes no room on disk
    began = time.process_time()
    with pytest.raises(ZooError, match=r"has 10737418240 bytes, and at most \d+ are read"):
        check_directory(checkpoint)
    assert time.process_time() - began < 1
    assert SETTINGS_BYTES < VOCABULARY_BYTES < 10 << 30


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_json_that_is_nested_too_deep_is_refused(checkpoint, name, text):
    (checkpoint / name).write_text(text)
    with pytest.raises(ZooError, match=f"nested deeper than {DEEPEST} levels"):
        check_directory(checkpoint)


def test_json_as_deep_as_allowed_is_read(checkpoint):
    change(checkpoint / "config.json", deep=json.loads("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)))
    assert check_directory(checkpoint)


@pytest.mark.parametrize(
    "text", ["", "{", "\0", "[]", "1", '"text"', '{"a": 1e999999, ]', "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_configuration_that_is_none_is_refused(checkpoint, text):
    (checkpoint / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ZooError, match=r"is no JSON|and no object"):
        check_directory(checkpoint)


def test_what_lies_beside_a_program_is_looked_at_too(checkpoint):
    with (checkpoint / "tokenizer_config.json").open("wb") as file:
        file.truncate(10 << 30)
    for read in (lambda: read_tokenizer(checkpoint), lambda: check_files(checkpoint)):
        with pytest.raises(ZooError, match=r"at most"):
            read()


# Weights


def header(tensors, data=b""):
    """A safetensors file whose header says ``tensors``."""
    text = json.dumps(tensors).encode() if not isinstance(tensors, bytes) else tensors
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


LIES = {
    "length beyond the file": struct.pack("<Q", 1 << 40) + b"{}",
    "length that overflows": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no header": b"",
    "half a length": b"\x01\x02",
    "no JSON": header(b"not json"),
    "not UTF-8": header(b"\xff\xfe{}"),
    "deep": header(b"[" * 100_000),
    "offsets beyond the file": header({"a": tensor(offsets=(0, 8))}),
    "offsets backwards": header({"a": tensor(offsets=(8, 0))}, bytes(8)),
    "negative offsets": header({"a": tensor(offsets=(-8, 0))}, bytes(8)),
    "fewer bytes than the shape": header({"a": tensor(shape=(1 << 20,))}, bytes(8)),
    "a shape that overflows": header({"a": tensor(shape=(1 << 62, 1 << 62))}, bytes(8)),
    "overlapping": header({"a": tensor(), "b": tensor(offsets=(4, 12))}, bytes(12)),
    "a hole": header({"a": tensor(), "b": tensor(offsets=(16, 24))}, bytes(24)),
    "bytes that nobody names": header({"a": tensor()}, bytes(4096)),
    "an unknown type": header({"a": tensor(dtype="F7")}, bytes(8)),
    "named twice": header(
        b'{"a":%s,"a":%s}' % (json.dumps(tensor()).encode(), json.dumps(tensor(offsets=(8, 16))).encode()), bytes(16)
    ),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_weights_whose_header_lies_are_refused(checkpoint, lie):
    (checkpoint / "model.safetensors").write_bytes(LIES[lie])
    with pytest.raises(ExportError, match=r"cannot load the checkpoint"):
        load_model(checkpoint)


def test_weights_of_other_shapes_than_the_configuration_are_refused(checkpoint):
    change(checkpoint / "config.json", intermediate_size=1 << 10)
    with pytest.raises(ExportError, match=r"cannot load the checkpoint|does not have .* of the weights"):
        load_model(checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("both", [True, False])
def test_weights_that_are_no_numbers_prove_nothing(value, both):
    """Eager PyTorch and the program may even agree about them."""
    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from exporters import ExportConfig

    sound = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    spoilt = torch.full((8, 32), value)
    limits = tolerance(ExportConfig.from_id("xnnpack-fp32"))
    assert judge_logits(compare_logits(sound, sound.clone()), limits, trained=True).status == "pass"
    found = judge_logits(compare_logits(spoilt if both else sound, spoilt.clone()), limits, trained=True)
    assert found.status in ("fail", "inconclusive")


# Time


def exploding(size):
    """A normalizer that makes a text ten times as long, so many times."""
    replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    return {"type": "Sequence", "normalizers": [replace] * size}


SLOW = {"type": "Replace", "pattern": {"Regex": "a*b"}, "content": ""}
"""Of millions of letters it takes the square of their number in steps."""


@pytest.mark.parametrize(
    ("normalizer", "limits", "status"),
    [
        (exploding(14), {"seconds": 120.0, "memory_bytes": 768 << 20}, "oom"),
        ({"type": "Sequence", "normalizers": [exploding(7), SLOW]}, {"seconds": 10.0}, "timeout"),
    ],
    ids=["explodes", "loops"],
)
def test_a_tokenizer_that_does_not_end_is_ended(checkpoint, tmp_path, normalizer, limits, status):
    (checkpoint / "reference.json").unlink()  # a stranger's checkpoint has none: the reference prompts are tokenized
    change(checkpoint / "tokenizer.json", normalizer=normalizer)
    request = CellRequest("gemma3-270m", "xnnpack-fp32", os.fspath(tmp_path / "cell"), scale=os.fspath(checkpoint))
    record = run_isolated(request, limits=Limits(**limits))
    assert (record.status, record.failure.stage) == (status, "baseline")


def test_a_chat_template_that_does_not_end_is_ended(checkpoint, tmp_path):
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "checkpoint").symlink_to(checkpoint)
    request = CellRequest("gemma3-270m", "xnnpack-fp32", os.fspath(tmp_path / "cell"))
    record = run_isolated(request, limits=Limits(seconds=8.0), target="tests.faults.cells:loops_in_a_template")
    assert (record.status, record.failure.stage, record.failure.kind) == ("timeout", "baseline", "TimeLimit")
