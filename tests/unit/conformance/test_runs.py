"""A run is continued as what it was started as, and as nothing else."""

import subprocess
import sys

import pytest

from conformance import matrix, runs
from conformance.errors import ConformanceError
from conformance.record import append, read
from conformance.sharding import Shard
from zoo import registry

OPTIONS = {"scale": "twin", "threads": 1, "max_seq_len": None, "stock_lowering": False}
CELLS = matrix.cells(registry.select(("gemma3", "qwen3")), tier="core")


@pytest.fixture
def run(tmp_path):
    """A run directory of the second of two shards, with nothing done yet."""
    directory = tmp_path / "run"
    runs.start(directory, runs.planned(CELLS, options=OPTIONS, shard=Shard(2, 2)))
    return directory


def verdict(directory, record):
    place = directory / "cells" / record.cell
    place.mkdir(parents=True)
    (place / "verdict.json").write_text(record.model_dump_json())


def test_a_run_says_what_it_was_started_with(run):
    manifest = runs.read_manifest(run)
    assert runs.resumed(run) == manifest
    assert (manifest.shard, manifest.options) == (Shard(2, 2), OPTIONS)
    assert manifest.selection == tuple(cell.name for cell in CELLS)
    assert set(manifest.cells) < set(manifest.selection)
    assert [cell.name for cell in runs.cells_of(manifest.cells)] == list(manifest.cells)
    other = runs.planned(CELLS, options=OPTIONS, shard=Shard(1, 2))
    assert {*other.cells, *manifest.cells} == set(manifest.selection)
    assert not {*other.cells} & {*manifest.cells}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"selection": CELLS[:-1]}, f"cells: now without {CELLS[-1].name}"),
        ({"selection": matrix.cells(registry.select(("gemma3", "qwen3", "olmo")), tier="core")}, "besides"),
        ({"selection": tuple(reversed(CELLS))}, "another order"),
        ({"options": {"threads": 2}}, "threads: 1, now 2"),
        ({"options": {"scale": "full"}}, "scale: twin, now full"),
        ({"shard": Shard(1, 2)}, "shard: 2/2, now 1/2"),
    ],
)
def test_a_run_is_not_continued_as_another(run, asked, told):
    with pytest.raises(ConformanceError, match="started otherwise") as caught:
        runs.resumed(run, **asked)
    assert told in str(caught.value)


def test_a_run_is_continued_with_what_it_was_started_with(run):
    assert runs.resumed(run, selection=CELLS, options=OPTIONS, shard=Shard(2, 2)) == runs.read_manifest(run)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("source", "0" * 64, "the code of zoo, exporters or conformance has changed"),
        ("versions", {"torch": "2.12.0"}, "version of torch: 2.12.0, now"),
    ],
)
def test_a_run_of_other_code_or_versions_is_not_continued(run, name, value, told):
    changed = runs.read_manifest(run).model_copy(update={name: value})
    (run / runs.MANIFEST).write_text(changed.model_dump_json())
    with pytest.raises(ConformanceError, match=told):
        runs.resumed(run)


def test_a_run_is_not_started_where_something_is(run, tmp_path):
    with pytest.raises(ConformanceError, match="--resume"):
        runs.start(run, runs.read_manifest(run))
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConformanceError, match="new or empty"):
            runs.start(place, runs.read_manifest(run))


@pytest.mark.parametrize("text", [None, "", "{}", "[1", '{"schema_version": 2}'])
def test_what_is_no_run_directory_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / runs.MANIFEST).write_text(text)
    with pytest.raises(ConformanceError, match=r"run\.json"):
        runs.read_manifest(tmp_path)


def test_half_a_line_and_a_record_without_a_verdict_are_not_continued_from(run, make_record):
    done, lost = make_record(configuration="xnnpack-fp32"), make_record(configuration="portable-fp32")
    verdict(run, done)
    append(run / runs.RECORDS, done)
    append(run / runs.RECORDS, lost)
    with (run / runs.RECORDS).open("a") as file:
        file.write('{"schema_version": 1, "crea')
    assert runs.restore_records(run) == 1
    assert read(run / runs.RECORDS) == [done]
    assert runs.finished(run) == {done.cell: done}


def test_two_processes_do_not_work_on_one_run(run):
    hold = """
import sys
from pathlib import Path
from conformance import runs
with runs.held(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConformanceError, match="another 'zoo run'"), runs.held(run):
            pytest.fail("held twice")
        other.kill()  # as the system would
        other.wait()
    with runs.held(run):
        pass


def test_processes_that_say_so_work_on_a_run_together_and_no_other_does(run):
    together = runs.held(run, together=True), runs.held(run, together=True)
    with together[0], together[1], pytest.raises(ConformanceError, match="or pytest is at work"), runs.held(run):
        pytest.fail("held twice")
    with runs.held(run), pytest.raises(ConformanceError, match="at work"), runs.held(run, together=True):
        pytest.fail("held twice")


def test_the_first_of_many_processes_describes_their_run(tmp_path):
    described = runs.planned(CELLS, options=OPTIONS)
    runs.describe(tmp_path, described)
    runs.describe(tmp_path, described.model_copy(update={"created": "later"}))
    assert runs.read_manifest(tmp_path) == described


def test_a_verdict_that_is_none_is_named(run, make_record):
    verdict(run, make_record())
    (path,) = run.glob("cells/*/verdict.json")
    path.write_bytes(b"")
    with pytest.raises(ConformanceError, match=r"verdict\.json is no record.*Delete it to run the cell again"):
        runs.finished(run)


def test_a_blocked_cell_is_not_done(run, make_record):
    done, blocked = make_record(configuration="xnnpack-fp32"), make_record(configuration="portable-fp32", status="blocked")
    for record in (done, blocked):
        verdict(run, record)
    assert runs.finished(run) == {done.cell: done, blocked.cell: blocked}
    assert runs.restore_records(run) == 1
    assert read(run / runs.RECORDS) == [done]
