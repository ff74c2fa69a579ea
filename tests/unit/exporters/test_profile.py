"""The profile of an export: stages, the steps inside them, and what is written of them."""

import json
import time

import pytest

from exporters import ExportConfig, profile
from exporters.artifact import StageTime
from exporters.pipeline import export
from zoo.checkpoints import resolve
from zoo.models.smollm2 import SMOLLM2_135M


def ended(name):
    return StageTime(name=name, seconds=0.0, peak_memory_bytes=0)


@pytest.fixture
def recorded():
    """A stage with a step that calls itself and another one, and a stage without steps."""
    found = profile.Profile()
    inner = found.timed(lambda: time.sleep(0.002), lambda: "inner")

    def outer(depth):
        inner()
        return timed(depth - 1) if depth else None

    timed = found.timed(outer, lambda depth: "outer")
    timed(0)  # between stages: belongs to none
    found.on_stage("lower", None)
    timed(1)
    with pytest.raises(ZeroDivisionError):
        found.timed(lambda: 1 / 0, lambda: "fails")()
    found.on_stage("lower", ended("lower"))
    found.on_stage("emit", None)
    found.on_stage("emit", ended("emit"))
    return found


def test_own_times_add_up_to_the_stage(recorded):
    rows = {(row.stage, row.step): row for row in recorded.rows()}
    assert {key: row.calls for key, row in rows.items()} == {
        ("lower", ""): 1,
        ("lower", "outer"): 2,
        ("lower", "inner"): 2,
        ("lower", "fails"): 1,
        ("emit", ""): 1,
    }
    lower = rows["lower", ""].seconds
    assert sum(row.own_seconds for (stage, _), row in rows.items() if stage == "lower") == pytest.approx(lower)
    assert rows["lower", "inner"].seconds <= rows["lower", "outer"].seconds <= lower


def test_a_step_inside_one_of_its_name_is_counted_once(recorded):
    outer = recorded.stages[0].inside[0]
    assert next(row for row in recorded.rows() if row.step == "outer").seconds == outer.seconds


def test_the_flame_graph_opens_and_closes_each_span_in_order(recorded):
    graph = recorded.speedscope()
    (drawn,) = graph["profiles"]
    names, stack, at = [frame["name"] for frame in graph["shared"]["frames"]], [], 0.0
    for event in drawn["events"]:
        assert at <= event["at"] <= drawn["endValue"]
        at = event["at"]
        if event["type"] == "O":
            stack.append(names[event["frame"]])
        else:
            assert stack.pop() == names[event["frame"]]
    assert not stack
    assert names == ["lower", "outer", "inner", "fails", "emit"]


def test_an_export_is_profiled_and_its_program_is_the_same(tmp_path):
    config, checkpoint = ExportConfig.from_id("portable-fp32", max_seq_len=16), resolve(SMOLLM2_135M)
    with profile.profiled() as found, profile.sampled(tmp_path / "flame.html"):
        artifact = export(checkpoint, config, tmp_path / "profiled", on_stage=found.on_stage)
    plain = export(checkpoint, config, tmp_path / "plain", stock_lowering=True)
    assert artifact.account.file.sha256 == plain.account.file.sha256
    assert artifact.account.accelerations
    assert not plain.account.accelerations
    rows = found.rows()
    assert [row.stage for row in rows if not row.step] == ["quantize", "export", "lower", "emit"]
    assert {"torch.export.export", "run_decompositions", "OpReplacePass", "MemoryPlanningPass", "emit_program"} <= {
        row.step for row in rows
    }
    for row, stage in zip((row for row in rows if not row.step), artifact.account.stages, strict=True):
        assert row.seconds == pytest.approx(stage.seconds, abs=0.05)
    table, graph = found.write(tmp_path)
    assert "run_decompositions" in table.read_text(encoding="utf-8")
    assert json.loads(graph.read_text(encoding="utf-8")) == found.speedscope()
    page = (tmp_path / "flame.html").read_text(encoding="utf-8")
    assert "run_decompositions" in page
    assert 'src="http' not in page
