"""What unpacks archives, or reads pictures, sounds and records, takes no more than it was meant to, and nothing elsewhere."""

import io
import os
import struct
import subprocess
import tarfile
import time
import zlib

import pytest

from conformance import record as store
from conformance.errors import ConformanceError
from conformance.listening import read_wav
from conformance.reports.dashboard import history
from conformance.showing import read_image


def tar(*members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def member(name, kind=tarfile.REGTYPE, leads=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads
    return info


def test_an_archive_is_unpacked_into_its_directory_and_without_links(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    history._unpack(
        tar(
            (member("reports/records/a.jsonl"), b"a"),
            (member("../evil"), b"b"),
            (member("reports/../../evil"), b"c"),
            (member("/evil"), b"d"),
            (member("link", tarfile.SYMTYPE, "/etc"), b""),
            (member("link/evil"), b"e"),
            (member("hard", tarfile.LNKTYPE, "/etc/hostname"), b""),
            (member("pipe", tarfile.FIFOTYPE), b""),
        ),
        target,
    )
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {"target/reports/records/a.jsonl", "target/evil", "target/link/evil"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_an_archive_that_is_compressed_is_not_unpacked(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        bomb = member("bomb")
        bomb.size = 64 << 20
        archive.addfile(bomb, io.BytesIO(bytes(bomb.size)))
    with pytest.raises(tarfile.ReadError):
        history._unpack(packed.getvalue(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_in_git_that_are_too_large_are_left_out_before_they_are_unpacked(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "reports" / "records").mkdir(parents=True)
    bomb = tmp_path / "reports" / "records" / "bomb.jsonl"
    bomb.write_bytes(b"\n" * (4 << 20))  # a few kB in git
    git("add", ".")
    git("commit", "-qm", "bomb")
    assert history._size(tmp_path, "HEAD", "reports/records") == 4 << 20
    monkeypatch.setattr(history, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(history, "_unpack", lambda *_: pytest.fail("it was unpacked"))
    notes = []
    assert list(history._committed(tmp_path, notes.append)) == []
    assert "its records have more than 1048576 bytes" in notes[0]


def png(width, height):
    """A picture that is mostly its size: a few bytes that are unpacked to gigabytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [png(60_000, 60_000), png(1 << 30, 1 << 30), b"", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe"])
def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path, data):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    began = time.process_time()
    with pytest.raises(ConformanceError, match="is no picture that can be read"):
        read_image(path)
    assert time.process_time() - began < 5


def wav(frames, *, rate=16_000, width=2, channels=1, data=b"\0" * 64):
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * width * channels, width * channels, 8 * width)
    return b"RIFF" + struct.pack("<I", 36 + frames) + b"WAVE" + head + b"data" + struct.pack("<I", frames) + data


def test_a_sound_has_the_samples_that_are_there(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(0xFFFF_FF00))
    assert len(read_wav(path).samples) == 32
    for spoilt in (wav(64, channels=0), wav(64, rate=0), wav(64, width=9), b"RIFF", b""):
        path.write_bytes(spoilt)
        with pytest.raises(ConformanceError):
            read_wav(path)


@pytest.mark.parametrize("name", ["records.jsonl", "records/model.jsonl"])
def test_ten_gigabytes_of_records_are_not_read(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(10 << 30)
    began = time.process_time()
    with pytest.raises(ConformanceError, match="has 10737418240 bytes"):
        store.read(path if path.parent == tmp_path else path.parent)
    assert time.process_time() - began < 1


def test_a_pipe_is_no_file_of_records(tmp_path):
    os.mkfifo(tmp_path / "records.jsonl")
    with pytest.raises(ConformanceError, match="there are no records"):
        store.read(tmp_path / "records.jsonl")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "directory" / "model.jsonl")
    with pytest.raises(ConformanceError, match="there are no records"):
        store.read(tmp_path / "directory")


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, "NaN", "\x00", "null"])
def test_lines_that_are_no_records_are_refused(tmp_path, line):
    path = tmp_path / "records.jsonl"
    path.write_text(line)
    with pytest.raises(ConformanceError, match="line 1 is no record"):
        store.read(path)
