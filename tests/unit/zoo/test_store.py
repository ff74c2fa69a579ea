import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest

from zoo import ZooError
from zoo.cache import MANIFEST, DirectoryStore, directory_sha256, source_sha256, stack_versions
from zoo.errors import ResourceError


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
        lambda entry: (entry / MANIFEST).write_text("7"),
        lambda entry: (entry / MANIFEST).write_text("[1]"),
        lambda entry: (entry / MANIFEST).write_bytes(b"\xff"),
    ],
    ids=["altered", "missing", "added", "no manifest", "broken manifest", "no mapping", "no pairs", "no text"],
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


MAKER = """
import os, sys, time
from pathlib import Path
from zoo.cache import DirectoryStore

base, key, hang = sys.argv[1:]

def make(directory):
    (directory / "nested").mkdir()
    (directory / "nested" / "file").write_text("content")
    with (Path(base) / "makes").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    while hang == "hang":
        time.sleep(0.05)
    time.sleep(0.3)

print("started", flush=True)
input()
entry, cached = DirectoryStore("things", Path(base)).get_or_make(key, make)
print((entry / "nested" / "file").read_text(), cached)
"""


def process(tmp_path, key="k", hang=""):
    """Another process, at the point where it asks for an entry."""
    other = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(tmp_path), key, hang],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert other.stdout.readline() == "started\n"
    return other


def test_two_processes_that_meet_at_a_damaged_entry_make_it_once(store, tmp_path):
    entry, _ = store.get_or_make("k", maker())
    (entry / "nested" / "file").write_text("corrupted")
    others = [process(tmp_path), process(tmp_path)]
    for other in others:
        other.stdin.write("\n")
        other.stdin.flush()
    told = sorted(other.communicate(timeout=60)[0] for other in others)
    assert told == ["content False\n", "content True\n"]
    assert len((tmp_path / "makes").read_text().split()) == 1
    assert store.damage(entry) is None


def test_a_process_that_is_killed_with_the_lock_lets_the_next_one_go_on(store, tmp_path):
    with process(tmp_path, hang="hang") as killed:
        killed.stdin.write("\n")
        killed.stdin.flush()
        until = time.monotonic() + 60
        while not (tmp_path / "makes").exists() and time.monotonic() < until:
            time.sleep(0.02)
        with filelock.FileLock(store.directory / "other.lock"):  # somebody is at work on this one
            (store.directory / "making-other").mkdir()
            waiting = process(tmp_path)
            waiting.stdin.write("\n")
            waiting.stdin.flush()
            time.sleep(0.2)
            assert waiting.poll() is None
            killed.kill()
            assert waiting.communicate(timeout=60)[0] == "content False\n"
            assert sorted(path.name for path in store.directory.iterdir() if path.is_dir()) == ["k", "making-other"]
    store.get_or_make("third", maker())
    assert sorted(path.name for path in store.directory.iterdir() if path.is_dir()) == ["k", "third"]


def test_a_damaged_entry_stays_until_the_next_one_is_whole(store):
    entry, _ = store.get_or_make("k", maker())
    (entry / "nested" / "file").write_text("corrupted")

    def fail(directory):
        assert entry.is_dir()
        raise RuntimeError("again not")

    with pytest.raises(RuntimeError, match="again not"):
        store.get_or_make("k", fail)
    assert store.damage(entry)
    assert store.get_or_make("k", maker()) == (entry, False)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT])
def test_an_entry_that_is_there_needs_no_cache_that_can_be_written(store, monkeypatch, number):
    def refuse(self, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    entry, _ = store.get_or_make("k", maker())
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    assert store.get_or_make("k", maker()) == (entry, True)
    told = "a directory on another disk" if number in (errno.ENOSPC, errno.EDQUOT) else "a directory you can write to"
    with pytest.raises(ResourceError, match=rf"missing \(it is not there\).*[sS]et ZOO_CACHE to {told}"):
        store.get_or_make("missing", maker())
    (entry / "nested" / "file").write_text("corrupted")
    with pytest.raises(ResourceError, match="k \\(nested/file is not as it was written\\)"):
        store.get_or_make("k", maker())


def native(directory):
    try:
        raise RuntimeError("No space left on device (os error 28)")
    except RuntimeError as error:
        raise ValueError("cannot save the weights") from error


def full(directory):
    (directory / "half").write_text("written")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("make", [full, native])
def test_a_disk_that_gets_full_is_named_and_holds_no_half_an_entry(store, make):
    with pytest.raises(ResourceError, match="set ZOO_CACHE to a directory on another disk") as caught:
        store.get_or_make("k", make)
    assert str(store.directory) in str(caught.value)
    assert [path.name for path in store.directory.iterdir() if path.is_dir()] == []


def test_what_a_killed_process_left_is_cleared_away(store):
    left = store.directory / "making-k"
    left.mkdir(parents=True)
    (left / "half").write_text("written")
    entry, _ = store.get_or_make("k", maker())
    assert not left.exists()
    assert not (entry / "half").exists()
