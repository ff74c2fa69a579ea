"""A cell from checkpoint to record, in this process: what ends it becomes a status with a reason."""

import dataclasses
import json
import os
import shutil

import pytest

from conformance.cell import run_cell
from conformance.trail import CellRequest, Trail
from zoo import Twin, registry
from zoo.models.gemma3 import GEMMA3_270M

CAPPED = dataclasses.replace(
    GEMMA3_270M,
    name="capped",
    twin=Twin("gemma2", head_dim=32, sliding_window=16, layer_types=("sliding_attention", "full_attention")),
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a cell of a model that is registered for this test only."""

    def run(model, configuration):
        monkeypatch.setattr(registry, "_ROWS", {**registry.models(), model.name: model})
        return run_cell(CellRequest(model.name, configuration, os.fspath(tmp_path)))

    return run


def test_an_architecture_with_a_term_that_the_kernel_drops_is_not_applicable(run):
    record = run(CAPPED, "xnnpack-fp32-sdpa-kv")
    assert record.status == "not_applicable"
    assert "soft-capping" in record.reason
    assert record.failure is None
    assert record.furthest_stage == "quantize"


def test_a_twin_that_cannot_be_built_fails_at_its_stage(run, tmp_path):
    record = run(dataclasses.replace(GEMMA3_270M, name="broken", twin=Twin("gemma3_txt")), "portable-fp32")
    assert (record.status, record.failure.stage, record.failure.kind) == ("fail", "resolve", "ZooError")
    assert "Did you mean" in record.reason
    assert Trail.read(tmp_path).current == "resolve"


def checkpoint(tmp_path, source, **generation):
    """A copy of a twin that is no twin any more: a local checkpoint with another generation configuration."""
    place = shutil.copytree(source, tmp_path / "local")
    (place / "reference.json").unlink()
    path = place / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    return place


def test_a_local_checkpoint_may_end_texts_with_several_tokens(tmp_path, gemma3_twin):
    place = checkpoint(tmp_path, gemma3_twin, eos_token_id=[1, 0])
    request = CellRequest("gemma3-270m", "portable-fp32", os.fspath(tmp_path), scale=str(place), max_seq_len=48)
    record = run_cell(request)
    assert (record.status, record.reason) == ("pass", "")
    assert record.checks["contract"].metrics["constants"]["get_eos_ids"] == [1, 0]
    assert record.max_seq_len == 48


@pytest.mark.parametrize(
    ("model", "length", "says"),
    [
        ("qwen3-0.6b", 48, "is a gemma3_text, and qwen3-0.6b is a qwen3"),
        ("gemma3-270m", 257, "max_seq_len 257 exceeds the model's context of 256"),
    ],
    ids=("another architecture", "too long"),
)
def test_a_checkpoint_that_is_not_what_was_asked_for_is_refused(tmp_path, gemma3_twin, model, length, says):
    place = checkpoint(tmp_path, gemma3_twin)
    request = CellRequest(model, "portable-fp32", os.fspath(tmp_path), scale=str(place), max_seq_len=length)
    record = run_cell(request)
    assert (record.status, record.failure.stage) == ("fail", "baseline")
    assert says in record.reason


def test_a_sound_cell_passes_every_check(run, artifact):
    record = run(GEMMA3_270M, "xnnpack-fp32-sdpa-kv")
    assert (record.status, record.reason) == ("pass", "")
    assert set(record.checks) == {"baseline", "export", "contract", "logits", "tokens", "cache_state", "latency", "memory"}
    assert record.checks["cache_state"].metrics["lengths"] == list(range(1, 65))
    assert record.checks["cache_state"].metrics["window"] == record.sliding_window == 16
    assert record.file_sha256 == artifact.account.file.sha256
    assert [stage.name for stage in record.stages][:2] == ["resolve", "baseline"]
    assert all(stage.cached for stage in record.stages if stage.name in ("quantize", "export", "lower", "emit"))
    figures = record.latency["executorch"]
    assert {"load_ms", "prefill_ms", "decode_tokens_per_second", "decode_speedup"} <= set(figures)
    assert record.latency["threads"] == 1


def test_a_failure_is_told_without_the_places_of_the_machine(monkeypatch, tmp_path):
    import torch

    import conformance
    from conformance.cell import placeless

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    code, library = conformance.__file__, torch.__file__
    told = placeless(f"{tmp_path}/artifacts/1/model.pte: failed; {code}; {library}")
    assert told == "$ZOO_CACHE/artifacts/1/model.pte: failed; conformance/__init__.py; site-packages/torch/__init__.py"
