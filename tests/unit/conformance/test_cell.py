"""A cell from checkpoint to record, in this process: what ends it becomes a status with a reason."""

import dataclasses
import os

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


def test_a_sound_cell_passes_every_check(run, artifact):
    record = run(GEMMA3_270M, "xnnpack-fp32-sdpa-kv")
    assert (record.status, record.reason) == ("pass", "")
    assert set(record.checks) == {"export", "contract", "logits", "tokens", "cache_state", "latency"}
    assert record.checks["cache_state"].metrics["lengths"] == list(range(1, 65))
    assert record.checks["cache_state"].metrics["window"] == record.sliding_window == 16
    assert record.file_sha256 == artifact.account.file.sha256
    assert [stage.name for stage in record.stages][:2] == ["resolve", "baseline"]
    assert all(stage.cached for stage in record.stages if stage.name in ("quantize", "export", "lower", "emit"))
    figures = record.latency["executorch"]
    assert {"load_ms", "prefill_ms", "decode_tokens_per_second", "decode_speedup"} <= set(figures)
    assert record.latency["threads"] == 1
