"""A merge has every record once, says what is missing, and refuses what does not go together."""

import pytest

from conformance import matrix, runs
from conformance.errors import ConformanceError
from conformance.merging import Part, load, merge, stable
from conformance.record import Check, Failure, StageRecord, write
from conformance.runs import Manifest
from conformance.sharding import Shard
from zoo import registry

OPTIONS = {"scale": "twin", "threads": 1, "max_seq_len": None, "stock_lowering": False}
CELLS = matrix.cells(registry.select(("gemma3", "qwen3")), tier="core")
RECORD = {"host": {"threads": 1}}


def manifest(index, count, **update) -> Manifest:
    made = runs.planned(CELLS, options=OPTIONS, shard=Shard(index, count))
    return made.model_copy(update={"versions": {"torch": "1"}, **update})


@pytest.fixture
def part(tmp_path, make_record):
    """Makes the part of a shard: its manifest, and records of its cells but the last ``without``."""

    def make(index, count, *, without=0, fields=RECORD, **update):
        described = manifest(index, count, **update)
        done = described.cells[: len(described.cells) - without]
        records = [
            make_record(model=name.split("@")[0], configuration=name.split("@")[1], versions={"torch": "1"}, **fields)
            for name in done
        ]
        return Part(tmp_path / f"shard-{index}", tuple(records), described)

    return make


def test_all_shards_make_the_whole(part):
    merged = merge([part(index, 3) for index in (3, 1, 2)])
    assert {record.cell for record in merged.records} == {cell.name for cell in CELLS}
    assert (merged.missing, merged.findings) == ((), ())


def test_a_shard_that_is_missing_is_named_with_its_cells(part):
    gone = part(2, 3)
    merged = merge([part(1, 3), part(3, 3)])
    assert set(merged.missing) == {record.cell for record in gone.records}
    assert len(merged.findings) == 1
    assert "shard 2/3 was not given" in merged.findings[0]


def test_a_shard_without_cells_is_not_missed(part):
    count = len(CELLS) + 1
    parts = [part(index, count) for index in range(1, count + 1)]
    full = [each for each in parts if each.records]
    assert len(full) < len(parts)
    assert merge(full).findings == ()


def test_a_shard_that_was_not_finished_is_named_with_the_command_that_continues_it(part):
    whole = part(1, 2)
    merged = merge([part(1, 2, without=1), part(2, 2)])
    assert merged.missing == (whole.manifest.cells[-1],)
    assert f"zoo run --resume {whole.path}" in merged.findings[0]


def test_another_part_may_have_the_cells_of_an_unfinished_one(part):
    again = Part(part(1, 2).path, part(1, 2).records)
    assert merge([part(1, 2, without=2), part(2, 2), again]).findings == ()


def test_shards_that_were_cut_by_different_durations_are_found_out(part):
    first, second = part(1, 2), part(2, 2)
    less = second.manifest.model_copy(update={"cells": second.manifest.cells[1:]})
    merged = merge([first, Part(second.path, second.records[1:], less)])
    assert merged.missing == (second.manifest.cells[0],)
    assert "--durations" in merged.findings[0]


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({"versions": {"torch": "2"}}, "version of torch"),
        ({"options": {**OPTIONS, "stock_lowering": True}}, "stock_lowering"),
        ({"options": {**OPTIONS, "threads": 2}}, "threads"),
        ({"source": "another"}, "code"),
        ({"fields": {"scale": "full"}}, "scale"),
        ({"fields": {"host": {"threads": 4}}}, "threads"),
    ],
)
def test_parts_that_were_run_otherwise_are_not_merged(part, update, told):
    with pytest.raises(ConformanceError, match="cannot be merged") as caught:
        merge([part(1, 2), part(2, 2, **update)])
    assert told in str(caught.value)


def test_a_patch_of_python_keeps_no_parts_apart_and_another_python_does(part):
    def python(version):
        return {"versions": {"torch": "1", "python": version}}

    assert merge([part(1, 2, **python("3.11.2")), part(2, 2, **python("3.11.10"))]).findings == ()
    with pytest.raises(ConformanceError, match="version of python"):
        merge([part(1, 2, **python("3.11.2")), part(2, 2, **python("3.1.2"))])


def test_parts_that_contradict_each_other_are_not_merged(part, make_record, tmp_path):
    first = part(1, 2)
    of = first.records[0]
    other = of.model_copy(update={"status": "fail"})
    with pytest.raises(ConformanceError, match="contradict") as caught:
        merge([first, Part(tmp_path / "other.jsonl", (other,))])
    assert f"zoo run {of.model} -c {of.configuration}" in str(caught.value)


def test_of_a_cell_that_two_parts_have_the_latest_record_stays(part, tmp_path):
    first = part(1, 1)
    of = first.records[0]
    later = of.model_copy(update={"created": "9999", "file_bytes": 7})
    for parts in ([first, Part(tmp_path, (later,))], [Part(tmp_path, (later,)), first]):
        assert later in merge(parts).records
        assert of not in merge(parts).records


def test_a_run_directory_and_a_file_are_read(tmp_path, make_record):
    write(tmp_path / "r.jsonl", [make_record()])
    assert load(tmp_path / "r.jsonl") == Part(tmp_path / "r.jsonl", (make_record(),))
    described = manifest(1, 1)
    runs.start(tmp_path / "run", described)
    write(tmp_path / "run" / runs.RECORDS, [make_record()])
    assert load(tmp_path / "run") == Part(tmp_path / "run", (make_record(),), described)


def full_record(make_record, **fields):
    given = {
        "stages": [StageRecord(name="export", seconds=1.0, peak_memory_bytes=5, cached=True)],
        "checks": {
            "latency": Check(status="pass", message="decode 5 tokens/s"),
            "logits": Check(status="pass", message="top-1 1.0", metrics={"max_abs_error": 1e-6}),
        },
        "latency": {"executorch": {"load_ms": 1.0}},
        "host": {"cpus": 2, "threads": 1},
        "file_bytes": 5,
    }
    return make_record(**(given | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"created": "2027-01-01T00:00:00+00:00"},
        {"stages": [StageRecord(name="export", seconds=2.0, peak_memory_bytes=6)]},
        {"latency": {"executorch": {"load_ms": 2.0}}},
        {"host": {"cpus": 64, "threads": 1}},
    ],
)
def test_times_and_machines_do_not_make_two_runs_differ(make_record, fields):
    assert stable(full_record(make_record, **fields)) == stable(full_record(make_record))


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "fail"},
        {"reason": "because"},
        {"stages": []},
        {"file_bytes": 6},
        {"versions": {"torch": "other"}},
        {"configuration": "portable-fp16"},
        {"checks": {"logits": Check(status="pass", message="top-1 1.0", metrics={"max_abs_error": 2e-6})}},
        {"checks": {"latency": Check(status="fail", message="decode 5 tokens/s")}},
        {"failure": Failure(stage="lower", kind="KeyError", message="a")},
    ],
)
def test_anything_else_does(make_record, fields):
    assert stable(full_record(make_record, **fields)) != stable(full_record(make_record))


def test_what_a_limit_measured_does_not_count_and_what_an_exception_says_does(make_record):
    def failed(kind, message):
        failure = Failure(stage="lower", kind=kind, message=message, stderr=[message], traceback=message)
        return stable(make_record(status="fail", reason=f"{kind}: {message}", failure=failure))

    assert failed("MemoryLimit", "used 5 MiB") == failed("MemoryLimit", "used 6 MiB")
    assert failed("KeyError", "a") != failed("KeyError", "b")
