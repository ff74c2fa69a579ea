import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from zoo import ZooError
from zoo.cache import MANIFEST, DirectoryStore, directory_sha256, source_sha256, stack_versions


@pytest.fixture
def store(tmp_path):
    return DirectoryStore("things", tmp_path)


def maker(text="content"):
    def make(directory):
        make.calls += 1
        (directory / "nested").mkdir()
        (directory / "nested" / "file").write_text(text)

    make.calls = 0
    return make


def test_an_entry_is_made_once(store):
    make = maker()
    first, cached = store.get_or_make("k", make)
    assert not cached
    assert store.get_or_make("k", make) == (first, True)
    assert make.calls == 1
    assert (first / "nested" / "file").read_text() == "content"


@pytest.mark.parametrize(
    "harm",
    [
        lambda entry: (entry / "nested" / "file").write_text("Content"),
        lambda entry: (entry / "nested" / "file").unlink(),
        lambda entry: (entry / "extra").write_text(""),
        lambda entry: (entry / MANIFEST).unlink(),
        lambda entry: (entry / MANIFEST).write_text("{"),
    ],
    ids=["altered", "missing", "added", "no manifest", "broken manifest"],
)
def test_a_damaged_entry_is_noticed_and_made_again(store, harm):
    make = maker()
    entry, _ = store.get_or_make("k", make)
    assert store.damage(entry) is None
    harm(entry)
    assert store.damage(entry)
    assert store.get_or_make("k", make) == (entry, False)
    assert make.calls == 2
    assert (entry / "nested" / "file").read_text() == "content"


def test_a_failed_make_leaves_nothing(store):
    def fail(directory):
        (directory / "half").write_text("written")
        raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        store.get_or_make("k", fail)
    assert [path.name for path in store.directory.iterdir() if path.is_dir()] == []
    make = maker()
    assert store.get_or_make("k", make)[1] is False


def test_concurrent_workers_make_an_entry_once(store):
    make = maker()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.get_or_make("k", make), range(16)))
    assert make.calls == 1
    assert sum(not cached for _, cached in found) == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "things").write_text("a file where the directory should be")
    with pytest.raises(ZooError, match="ZOO_CACHE"):
        DirectoryStore("things", tmp_path).get_or_make("k", maker())


def test_keys_depend_on_every_part_and_on_the_versions_of_the_stack(store, monkeypatch):
    key = store.key({"a": 1, "b": [2]})
    assert key == store.key({"b": [2], "a": 1})
    assert key != store.key({"a": 1, "b": [3]})
    monkeypatch.setattr("zoo.cache.stack_versions", lambda: {**stack_versions(), "torch": "9"})
    assert key != store.key({"a": 1, "b": [2]})


def test_hashes_cover_names_and_bytes(tmp_path):
    (tmp_path / "a.py").write_text("1")
    before = directory_sha256(tmp_path), source_sha256([tmp_path])
    (tmp_path / MANIFEST).write_text(json.dumps({}))
    assert (directory_sha256(tmp_path), source_sha256([tmp_path])) == before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    after = directory_sha256(tmp_path), source_sha256([tmp_path])
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_a_killed_process_left_is_cleared_away(store):
    left = store.directory / "making-k"
    left.mkdir(parents=True)
    (left / "half").write_text("written")
    entry, _ = store.get_or_make("k", maker())
    assert not left.exists()
    assert not (entry / "half").exists()
