"""A cell is killed at each of its stages, by each signal, and the cache that it worked on is as good as before.

Real cells: DeiT's twin, in a cache that holds nothing else.
"""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.artifacts import cached_export
from conformance.record import STAGES
from conformance.trail import CellRequest
from conformance.worker import Limits, run_isolated
from exporters import ExportConfig
from tests.faults.attacks import order
from zoo import registry
from zoo.cache import DirectoryStore, directory_sha256
from zoo.checkpoints import resolve

MODEL, CONFIGURATION = "deit-base-distilled", "portable-fp32"
EXPORTING = ("quantize", "export", "lower", "emit")
SIGNALS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTERM", "SIGSYS")


@pytest.fixture(scope="module")
def twin():
    """The twin in the cache that the other tests use."""
    return resolve(registry.get(MODEL))


@pytest.fixture
def cache(twin, tmp_path):
    """A cache with a twin and no artifact."""
    directory = tmp_path / "cache"
    shutil.copytree(twin, directory / "twins" / twin.name)
    return directory


@pytest.fixture
def filled(twin, cache):
    """A cache with a twin and its program."""
    artifact, _ = cached_export(twin, ExportConfig.from_id(CONFIGURATION), task=registry.get(MODEL).task)
    shutil.copytree(artifact.directory, cache / "artifacts" / artifact.directory.name)
    return cache


def run(place, **orders):
    order(place, **orders)
    request = CellRequest(MODEL, CONFIGURATION, os.fspath(place))
    return run_isolated(request, limits=Limits(seconds=600), target="tests.faults.attacks:real_cell")


def entries(cache, kind):
    return sorted(path.name for path in (cache / kind).iterdir() if path.is_dir())


def exported_now(record):
    return any(stage.name == "emit" and not stage.cached for stage in record.stages)


@pytest.mark.parametrize("stage", STAGES)
def test_a_cell_that_is_killed_is_recorded_with_its_stage(tmp_path, cache, stage):
    # A cell with an artifact in the cache has no stages between quantize and open.
    own = {"cache": os.fspath(cache)} if stage in EXPORTING else {}
    record = run(tmp_path / "cell", stage=stage, signal=signal.SIGKILL, **own)
    assert (record.status, record.failure.stage, record.failure.kind) == ("crash", stage, "SIGKILL")
    done = [found.name for found in record.stages]
    assert done == [name for name in STAGES[: STAGES.index(stage)] if name in done]
    assert set(done) >= set(STAGES[: STAGES.index(stage)]) - set(EXPORTING)


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_is_told_by_its_name(tmp_path, twin, name):
    record = run(tmp_path / "cell", stage="resolve", signal=signal.Signals[name])
    assert (record.status, record.failure.stage, record.failure.kind) == ("crash", "resolve", name)


def test_two_suites_that_share_a_cache_go_on_where_others_were_killed(tmp_path, twin, cache):
    run(tmp_path / "killed", cache=os.fspath(cache), stage="export", signal=signal.SIGKILL)
    killed = DirectoryStore("artifacts", cache).directory
    left = entries(cache, "artifacts")
    assert left == [f"making-{left[0].removeprefix('making-')}"]
    (killed / "making-of-other-code").mkdir()
    shutil.rmtree(cache / "twins" / twin.name)  # the two have to make it, too
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda name: run(tmp_path / name, cache=os.fspath(cache)), ("one", "two")))
    assert [record.status for record in records] == ["pass", "pass"], [record.reason for record in records]
    assert sorted(map(exported_now, records)) == [False, True]  # made once
    assert records[0].file_sha256 == records[1].file_sha256
    assert entries(cache, "artifacts") == [left[0].removeprefix("making-")]
    assert entries(cache, "twins") == [twin.name]
    assert directory_sha256(cache / "twins" / twin.name) == directory_sha256(twin)


def test_a_cache_that_cannot_be_written_is_read(tmp_path, filled):
    places = [filled, *(path for path in filled.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    try:
        record = run(tmp_path / "cell", cache=os.fspath(filled), rights="owner")
        assert record.status == "pass", record.reason
        assert not exported_now(record)
        order(tmp_path / "other", cache=os.fspath(filled), rights="owner")
        request = CellRequest(MODEL, "xnnpack-fp32", os.fspath(tmp_path / "other"))
        other = run_isolated(request, target="tests.faults.attacks:real_cell")
    finally:
        for place in places:
            place.chmod(0o755)
    assert (other.status, other.failure.stage, other.failure.kind) == ("blocked", "quantize", "ResourceError")
    assert "it is not there" in other.reason
    assert "Permission denied" in other.reason
    assert "Set ZOO_CACHE to a directory you can write to." in other.reason


def test_an_artifact_that_is_corrupted_in_mid_run_is_noticed_and_made_again(tmp_path, filled):
    (name,) = entries(filled, "artifacts")
    program = filled / "artifacts" / name / "model.pte"
    whole = program.read_bytes()
    record = run(tmp_path / "one", cache=os.fspath(filled), stage="open", harm=os.fspath(program))
    assert (record.status, record.failure.stage) == ("fail", "open")
    assert "checksum" in record.reason
    assert program.read_bytes() != whole
    again = run(tmp_path / "two", cache=os.fspath(filled))
    assert again.status == "pass"
    assert exported_now(again)
    assert program.read_bytes() == whole
    assert entries(filled, "artifacts") == [name]


def test_a_disk_that_is_full_blocks_a_cell_and_leaves_no_half_an_entry(tmp_path):
    cache = tmp_path / "cache"
    record = run(tmp_path / "cell", cache=os.fspath(cache), largest=64 << 10)
    assert (record.status, record.failure.stage, record.failure.kind) == ("blocked", "resolve", "ResourceError")
    assert "no space is left there. Free some, or set ZOO_CACHE to a directory on another disk." in record.reason
    assert "$ZOO_CACHE/twins" in record.reason
    assert entries(cache, "twins") == []


def test_a_run_directory_that_is_full_blocks_a_cell(tmp_path):
    request = CellRequest(MODEL, CONFIGURATION, os.fspath(tmp_path / "cell"))
    record = run_isolated(request, target="tests.faults.attacks:has_no_space")
    assert (record.status, record.failure.kind) == ("blocked", "Space")
    assert "run's directory" in record.reason
    assert "--run" in record.reason
