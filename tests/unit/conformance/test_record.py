"""Records survive the file they are kept in, whatever their texts hold and whoever else is writing."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.errors import ConformanceError
from conformance.record import (
    STAGES,
    Check,
    Failure,
    GenerationRecord,
    StageRecord,
    append,
    check_mergeable,
    merge,
    read,
    write,
)


@given(text=st.text())
@example(text="two\nlines\r\n and \x00 \x1f \x7f")
@example(text="separators that str.splitlines knows: \x85 \u2028 \u2029 \x0b \x0c \x1c")
@example(text='"quotes" \\ and 🦭 with é')
@settings(deadline=None)
def test_text_comes_back_as_it_was(tmp_path_factory, make_record, text):
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    record = make_record(
        status="fail",
        reason=text,
        failure=Failure(stage="lower", kind="Error", message=text, stderr=[text], traceback=text),
        checks={"logits": Check(status="fail", message=text, metrics={text: text})},
        generations=[
            GenerationRecord(
                prompt=text, prompt_tokens=1, reference=[1], tokens=[2], text=text, stop="eos", smallest_margin=0.5
            )
        ],
        versions={"torch": text},
        host={"machine": text},
    )
    append(path, record)
    assert read(path) == [record]
    write(path, [record])
    assert read(path) == [record]


@given(
    seconds=st.floats(0, 1e9),
    size=st.integers(0, 2**62),
    share=st.none() | st.floats(0, 1),
    figure=st.floats(allow_nan=False, allow_infinity=False),
)
@settings(deadline=None)
def test_figures_come_back_exactly(tmp_path_factory, make_record, seconds, size, share, figure):
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    record = make_record(
        stages=[StageRecord(name="export", seconds=seconds, peak_memory_bytes=size)],
        file_bytes=size,
        delegated_share=share,
        latency={"executorch": {"decode_speedup": figure}},
    )
    append(path, record)
    assert read(path) == [record]


@pytest.mark.parametrize("margin", [float("nan"), float("inf")])
def test_a_record_with_a_margin_that_is_not_finite_can_be_read_back(tmp_path, make_record, margin):
    said = GenerationRecord(
        prompt="a", prompt_tokens=1, reference=[1], tokens=[2], text="b", stop="eos", smallest_margin=margin
    )
    append(tmp_path / "records.jsonl", make_record(status="fail", generations=[said]))
    assert read(tmp_path / "records.jsonl")[0].generations[0].tokens == [2]


def test_lines_of_concurrent_writers_do_not_mix(tmp_path, make_record):
    path, writers, each = tmp_path / "records.jsonl", 8, 10
    start = threading.Barrier(writers)

    def work(writer):
        start.wait()
        for number in range(each):
            append(path, make_record(model=f"model-{writer}-{number}", reason=str(writer) * 50_000))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(line["model"] for line in lines) == sorted(f"model-{w}-{n}" for w in range(writers) for n in range(each))
    assert all(line["reason"] == line["model"][6] * 50_000 for line in lines)


def test_the_latest_record_of_a_cell_is_the_one_that_counts(tmp_path, make_record):
    path = tmp_path / "records.jsonl"
    older, other = make_record(status="fail"), make_record(configuration="xnnpack-fp32")
    newer = make_record(status="pass", created="2026-11-22T08:00:00+00:00")
    for record in (older, other, newer):
        append(path, record)
    assert {record.cell: record for record in read(path)} == {newer.cell: newer, other.cell: other}
    assert len(read(path)) == 2


def test_a_written_file_is_sorted_by_cell_and_replaces_the_old_one(tmp_path, make_record):
    path = tmp_path / "new" / "records.jsonl"
    append(path, make_record(model="zebra"))
    write(path, [make_record(model="b"), make_record(model="a", configuration="xnnpack-fp32"), make_record(model="a")])
    assert [record.cell for record in read(path)] == ["a@portable-fp32", "a@xnnpack-fp32", "b@portable-fp32"]
    assert [entry.name for entry in path.parent.iterdir()] == ["records.jsonl"]


def test_blank_lines_are_no_records(tmp_path, make_record):
    path = tmp_path / "records.jsonl"
    path.write_text(f"\n{make_record().model_dump_json()}\n\n", encoding="utf-8")
    assert read(path) == [make_record()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": 3}, "schema_version"),
        ({"status": "passed"}, "status"),
        ({"extra": 1}, "extra"),
        ({"stages": [{"name": "export"}]}, "stages.0.seconds"),
    ],
)
def test_a_line_that_is_no_record_is_named_by_file_line_and_field(tmp_path, make_record, change, told):
    path = tmp_path / "records.jsonl"
    good = make_record().model_dump(mode="json")
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, **change})}\n", encoding="utf-8")
    with pytest.raises(ConformanceError) as caught:
        read(path)
    assert f"{path}, line 2" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[]", "null", "not json"])
def test_a_line_that_is_no_json_object_is_named_by_file_and_line(tmp_path, line):
    path = tmp_path / "records.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConformanceError) as caught:
        read(path)
    assert f"{path}, line 1" in str(caught.value)


def test_a_missing_file_is_an_error_that_says_what_makes_it(tmp_path):
    with pytest.raises(ConformanceError, match="'zoo run' makes them"):
        read(tmp_path / "records.jsonl")


@given(st.sets(st.sampled_from(STAGES)))
def test_the_furthest_stage_is_the_last_in_order_whatever_order_they_ended_in(make_record, names):
    record = make_record(stages=[StageRecord(name=name, seconds=1) for name in sorted(names)])
    assert record.furthest_stage == max(names, key=STAGES.index, default=None)


def test_two_writers_of_one_file_keep_each_others_records(tmp_path, make_record):
    path = tmp_path / "records.jsonl"
    names = [f"model-{index}" for index in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: merge(path, [make_record(model=name)]), names))
    assert sorted(found.model for found in read(path)) == sorted(names)
    merge(path, [make_record(model="model-3", reason="again")])
    assert {found.model: found.reason for found in read(path)}["model-3"] == "again"
    assert len(read(path)) == 12


def test_records_that_cannot_be_kept_are_refused_before_the_work(tmp_path, make_record):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConformanceError, match="a directory of other things"):
        check_mergeable(tmp_path, scale="twin")
    path = tmp_path / "records.jsonl"
    check_mergeable(path, scale="twin")
    merge(path, [make_record(scale="full")])
    with pytest.raises(ConformanceError, match="holds records of scale full"):
        check_mergeable(path, scale="twin")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConformanceError, match="is no file of records"):
        read(path)


def test_a_directory_keeps_a_file_for_each_model(tmp_path, make_record):
    place = tmp_path / "records"
    check_mergeable(place, scale="twin")
    merge(place, [make_record(model=name, configuration=way) for name in ("b", "a") for way in ("z", "y")])
    assert sorted(entry.name for entry in place.iterdir()) == ["a.jsonl", "b.jsonl"]
    assert [found.cell for found in read(place)] == ["a@y", "a@z", "b@y", "b@z"]
    assert [found.cell for found in read(place / "b.jsonl")] == ["b@y", "b@z"]
    with pytest.raises(ConformanceError, match="holds records of scale twin"):
        check_mergeable(place, scale="full")


def test_only_the_files_of_models_that_were_run_change(tmp_path, make_record):
    merge(tmp_path, [make_record(model="a"), make_record(model="b")])
    before = (tmp_path / "b.jsonl").stat().st_mtime_ns
    merge(tmp_path, [make_record(model="a", reason="again")])
    assert [found.reason for found in read(tmp_path)] == ["again", ""]
    assert (tmp_path / "b.jsonl").stat().st_mtime_ns == before


def test_a_model_whose_records_are_gone_has_no_file(tmp_path, make_record):
    write(tmp_path, [make_record(model="a"), make_record(model="b")])
    write(tmp_path, [make_record(model="b")])
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.jsonl"]


def test_records_of_the_first_version_are_read(tmp_path, make_record):
    old = make_record().model_dump(mode="json")
    for name in ("methods", "delegation", "error_by_position"):
        del old[name]
    (tmp_path / "old.jsonl").write_text(json.dumps({**old, "schema_version": 1}), encoding="utf-8")
    (found,) = read(tmp_path)
    assert (found.schema_version, found.methods, found.error_by_position) == (1, [], [])
