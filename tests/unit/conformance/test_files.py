"""Files are whole, or they are not there: also when the disk is full."""

import errno
import json
import os
import subprocess
import sys

import pytest

from conformance import files, runs
from conformance.errors import ConformanceError
from conformance.record import append, read


def writes_at_most(monkeypatch, room):
    """A disk with room for so many bytes."""
    real, left = os.write, [room]

    def write(descriptor, content):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(content)[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(files.os, "write", write)


@pytest.mark.parametrize("room", [0, 1, 9])
def test_a_line_that_does_not_fit_leaves_the_others_whole(tmp_path, monkeypatch, room):
    path = tmp_path / "lines.jsonl"
    files.append_line(path, '{"a": 1}')
    with monkeypatch.context() as patch:
        writes_at_most(patch, room)
        with pytest.raises(OSError, match="No space left"):
            files.append_line(path, '{"b": 22222}')
    assert path.read_text() == '{"a": 1}\n'
    files.append_line(path, '{"c": 3}')
    assert path.read_text() == '{"a": 1}\n{"c": 3}\n'


def test_a_line_that_is_written_in_parts_is_whole(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, content: real(descriptor, bytes(content)[:3]))
    files.append_line(tmp_path / "lines.jsonl", '{"a": "seven and more"}')
    assert json.loads((tmp_path / "lines.jsonl").read_text()) == {"a": "seven and more"}


def test_a_device_without_space_is_no_place_for_a_line():
    with pytest.raises(OSError, match="No space left"):
        files.append_line(files.Path("/dev/full"), "{}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a": 1}\n{"b": "hal', b'{"a": 1}\n{}\n'),
        (b'{"a": 1}\n{"b": "\xc3', b'{"a": 1}\n{}\n'),
        (b'{"b": ' + b"1" * 200_000 + b",", b"{}\n"),
        (b'{"a": 1}\n{"b": 2}', b'{"a": 1}\n{"b": 2}\n{}\n'),
    ],
    ids=["half a line", "half a letter", "half of one line", "no line end"],
)
def test_half_a_line_of_a_killed_process_is_not_added_to(tmp_path, before, after):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(before)
    files.append_line(path, "{}")
    assert path.read_bytes() == after


def test_half_a_record_is_told_apart_from_what_is_none(tmp_path, make_record):
    path = tmp_path / runs.RECORDS
    append(path, make_record())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    with pytest.raises(ConformanceError, match=r"line 2 ends in the middle.*zoo run --resume"):
        read(path)
    append(path, make_record(model="another"))
    assert [record.model for record in read(path)] == [make_record().model, "another"]


def test_many_processes_add_whole_lines(tmp_path):
    code = "import sys; from pathlib import Path; from conformance.files import append_line as add\n"
    code += "for _ in range(50): add(Path(sys.argv[1]), '\"' + 'x' * 5000 + '\"')"
    others = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "lines"]) for _ in range(3)]
    assert [other.wait(timeout=60) for other in others] == [0, 0, 0]
    assert (tmp_path / "lines").read_text() == ('"' + "x" * 5000 + '"\n') * 150


def test_a_file_that_does_not_fit_leaves_the_one_before_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.replace(path, "before")
    path.chmod(0o640)

    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            files.replace(path, "after")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "before")]
    files.replace(path, b"after")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", 0o640)
