"""Baselines come back as they were written, are small and stable, and say what is wrong with a file."""

import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import baselines, gating
from conformance.errors import ConformanceError
from conformance.record import Check, GenerationRecord, StageRecord
from conformance.record import write as write_records
from conformance.trail import processor

MODEL = "smollm2-135m"
SAMPLES = {"decode": {"eager": [1e-3, 1.1e-3, 1.2e-3, 1.1e-3], "executorch": [1e-4] * 4}}


@pytest.fixture
def record(make_record):
    """A passing record of this machine."""

    def make(**fields):
        return make_record(
            **{
                "stages": [StageRecord(name="measure", seconds=1.0)],
                "checks": {"tokens": Check(status="pass", message="")},
                "methods": ["forward"],
                "file_bytes": 10,
                "file_sha256": "a" * 64,
                "delegation": {"delegates": 2, "delegated": {"b": 1}, "undelegated": {"c": 3, "a": 1}},
                "quantization": {"linear_share": 1.0},
                "generations": [
                    GenerationRecord(
                        prompt="p", prompt_tokens=1, reference=[1], tokens=[1], text="t", stop="eos", smallest_margin=0.5
                    )
                ],
                "latency": {"samples": SAMPLES},
                "versions": {"torch": "2.13.0"},
                "host": {"processor": processor(), "machine": "m", "cpus": 2, "threads": 1},
                **fields,
            }
        )

    return make


def test_an_entry_comes_back_as_it_was(tmp_path, record):
    entry = baselines.entry(record(), [SAMPLES, {}])
    assert baselines.write(tmp_path, MODEL, {"portable-fp32": entry})
    assert baselines.read(tmp_path, [MODEL, "another"]) == {f"{MODEL}@portable-fp32": entry}
    assert [len(found) for found in entry.latency.values()] == [2]
    assert entry.furthest_stage == "measure"
    assert list(entry.undelegated) == ["a", "c"]


@given(reason=st.text(), names=st.dictionaries(st.text(min_size=1), st.integers(0, 9), max_size=3))
@settings(deadline=None)
def test_whatever_names_and_reasons_hold(tmp_path_factory, make_record, reason, names):
    directory = tmp_path_factory.mktemp("baselines")
    made = make_record(status="fail", reason=reason, delegation={"delegates": 1, "delegated": {}, "undelegated": names})
    entry = baselines.entry(made)
    baselines.write(directory, MODEL, {"portable-fp32": entry})
    assert baselines.read(directory, [MODEL]) == {f"{MODEL}@portable-fp32": entry}


def test_a_launch_is_kept_as_the_ratio_of_the_fastest_steps(record):
    decode = SAMPLES["decode"]
    (launch,) = baselines.entry(record()).launches("decode")
    assert launch.ratio == pytest.approx(math.log(min(decode["executorch"]) / min(decode["eager"])), abs=1e-4)


def test_a_file_is_stable_sorted_and_not_written_again(tmp_path, record):
    entries = {name: baselines.entry(record(configuration=name)) for name in ("xnnpack-fp32", "portable-fp32")}
    baselines.write(tmp_path, MODEL, entries)
    path = baselines.place(tmp_path, MODEL)
    text = path.read_text()
    os.utime(path, (0, 0))
    assert not baselines.write(tmp_path, MODEL, dict(reversed(entries.items())))
    assert path.stat().st_mtime == 0
    assert list(json.loads(text)["cells"]) == sorted(entries)
    assert '"eager": 0.001' in text


def test_a_model_of_ten_cells_with_eight_launches_takes_few_kilobytes(tmp_path, record):
    decode = {side: [1.234e-3] * 16 for side in ("eager", "executorch")}
    entry = baselines.entry(record(latency={}), [{"decode": decode, "prefill": decode}] * 8)
    baselines.write(tmp_path, MODEL, {f"portable-fp32-{index}": entry for index in range(10)})
    assert baselines.place(tmp_path, MODEL).stat().st_size < 20_000


def test_no_more_launches_are_kept_than_say_something(record):
    assert len(baselines.entry(record(), [SAMPLES] * 50).launches("decode")) == baselines.MOST_LAUNCHES


def test_a_write_that_fails_leaves_what_was_there(tmp_path, record, monkeypatch):
    baselines.write(tmp_path, MODEL, {"portable-fp32": baselines.entry(record())})
    before = baselines.place(tmp_path, MODEL).read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        baselines.write(tmp_path, MODEL, {"portable-fp32": baselines.entry(record(status="fail"))})
    assert baselines.place(tmp_path, MODEL).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Invalid JSON"),
        ('{"model": "smollm2-135m"}', "cells: Field required"),
        ('{"model": "gpt2", "cells": {}}', "is the baseline of gpt2"),
        ('{"schema_version": 2, "model": "smollm2-135m", "cells": {}}', "schema_version"),
    ],
)
def test_what_is_no_baseline_is_refused_with_what_to_do(tmp_path, text, told):
    baselines.place(tmp_path, MODEL).write_text(text)
    with pytest.raises(ConformanceError, match=told) as caught:
        baselines.read(tmp_path, [MODEL])
    assert f"{MODEL}.json" in str(caught.value)


class Launches:
    """Stands for a launcher."""

    def __init__(self):
        self.asked, self.failures, self.options = [], {}, {}

    def samples(self, cell):
        self.asked.append(cell)
        return SAMPLES


@pytest.fixture
def update(tmp_path, record):
    """Writes records and updates the baselines from them."""

    def run(*records, names=(), launches=0, launcher=None):
        path = tmp_path / "records.jsonl"
        write_records(path, records)
        return gating.update_baselines(tmp_path, names, path, launches, launcher=launcher or Launches())

    return run


def cells(tmp_path):
    return set(baselines.read(tmp_path / baselines.BASELINES, [MODEL, "gpt2"]))


def test_an_update_replaces_cells_and_keeps_others(tmp_path, record, update):
    update(record(), record(configuration="xnnpack-fp32"))
    changed, _ = update(record(file_bytes=11))
    assert [path.name for path in changed] == [f"{MODEL}.json"]
    found = baselines.read(tmp_path / baselines.BASELINES, [MODEL])
    assert {cell.partition("@")[2]: entry.file_bytes for cell, entry in found.items()} == {
        "portable-fp32": 11,
        "xnnpack-fp32": 10,
    }
    assert update(record(file_bytes=11))[0] == []


def test_an_update_drops_cells_and_models_that_are_no_longer_there(tmp_path, record, update):
    directory = tmp_path / baselines.BASELINES
    baselines.write(directory, MODEL, {"xnnpack-fp32-forgotten": baselines.entry(record())})
    baselines.write(directory, "forgotten", {"portable-fp32": baselines.entry(record(model="forgotten"))})
    changed, _ = update(record(), names=(MODEL,))
    assert cells(tmp_path) == {f"{MODEL}@portable-fp32"}
    assert (directory / "forgotten.json").is_file()  # it was not named
    changed, _ = update(record())
    assert [path.name for path in changed] == ["forgotten.json"]


def test_only_the_models_that_are_named_are_updated(tmp_path, record, update):
    update(record(), record(model="gpt2", family="gpt2"), names=("gpt2",))
    assert cells(tmp_path) == {"gpt2@portable-fp32"}
    with pytest.raises(ConformanceError, match="no records of gemma3-270m, gemma3-4b"):
        update(record(), names=("gemma3",))


def test_passing_cells_of_this_machine_are_timed_again(tmp_path, record, update):
    launcher = Launches()
    other = record(configuration="xnnpack-fp16", host={"processor": "another", "threads": 1})
    broken = record(configuration="xnnpack-fp32", status="fail", reason="x")
    _, notes = update(record(), broken, other, launches=3, launcher=launcher)
    assert launcher.asked == [f"{MODEL}@portable-fp32"] * 3
    assert len(baselines.read(tmp_path / baselines.BASELINES, [MODEL])[f"{MODEL}@portable-fp32"].launches("decode")) == 4
    assert any("accepted as it is: smollm2-135m@xnnpack-fp32: fail" in note for note in notes)
    assert any("another processor (another)" in note for note in notes)


def test_what_is_recorded_is_shown(tmp_path, record, update):
    update(record())
    assert gating.recorded(tmp_path, (MODEL,)) == [(MODEL, "1", "1 to 1", "2026-11-21", "torch 2.13.0")]
    with pytest.raises(ConformanceError, match="zoo baseline --update"):
        gating.recorded(tmp_path, ("gpt2",))
