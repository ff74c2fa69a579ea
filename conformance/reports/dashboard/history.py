"""Runs that a page shows: the current records, files of earlier ones, and the versions that git has."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.record import Record, read

COMMITTED = ("reports/records", "reports/records.jsonl")
"""Where the records of the project are committed; the file is where they were before they became a directory."""
COMMITS = 8
"""Versions that are taken from git, the newest ones."""

MOST_BYTES = 256 << 20
"""Of one version's records; the project's have 2 MB."""

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Records that belong together."""

    label: str
    """What readers choose it by."""
    source: str
    """Where the records come from: a path, or a commit and its subject."""
    records: tuple[Record, ...]

    @property
    def date(self) -> str:
        """When its newest record was made; UTC, ISO 8601."""
        return max((record.created for record in self.records), default="")

    @property
    def identity(self) -> frozenset[tuple[str, str]]:
        """Which cells were run when: equal for two copies of the same records."""
        return frozenset((record.cell, record.created) for record in self.records)


def collect(
    records: Path, *, root: Path | None = None, history: Iterable[Path] = (), git: bool = True, notice: Notice = print
) -> list[Run]:
    """The current run, then earlier ones from the newest to the oldest, none of them twice.

    Args:
        records: The current records: a file or a directory.
        root: The project's directory, whose committed records are earlier runs.
        history: Files or directories of earlier records.
        git: Whether to ask git.
        notice: Gets a line for each earlier run that cannot be read; it is left out.

    Raises:
        ConformanceError: the current records cannot be read, or a path of ``history`` is not there.
    """
    current = Run("current", str(records), tuple(read(records)))
    earlier: list[Run] = []
    for path in history:
        if not path.exists():
            raise ConformanceError(f"there are no records at {path}; --history takes a file or a directory of records.")
        earlier += _readable(path.stem if path.is_file() else path.name, str(path), path, notice)
    if git and root is not None:
        earlier += _committed(root, notice)
    runs = [current]
    seen = {current.identity}
    for run in sorted(earlier, key=lambda run: run.date, reverse=True):
        if run.records and run.identity not in seen:
            seen.add(run.identity)
            runs.append(run)
    return runs


def _readable(label: str, source: str, path: Path, notice: Notice) -> list[Run]:
    try:
        return [Run(label, source, tuple(read(path)))]
    except ConformanceError as error:
        notice(f"left out {source}: {error}")
        return []


def _committed(root: Path, notice: Notice) -> Iterator[Run]:
    """The versions of the records that git has; none where ``root`` is no checkout or git is not installed."""
    log = _git(root, "log", f"-{COMMITS}", "--format=%H%x09%s", "--", *COMMITTED)
    for line in (log or b"").decode("utf-8", "replace").splitlines():
        commit, subject = line.split("\t", 1)
        listed = _git(root, "ls-tree", "--name-only", commit, "--", *COMMITTED) or b""
        place = next((name for name in COMMITTED if name in listed.decode().split("\n")), None)
        if place is not None and _size(root, commit, place) > MOST_BYTES:
            notice(f"left out {commit[:9]} {subject}: its records have more than {MOST_BYTES} bytes")
            continue
        tar = None if place is None else _git(root, "archive", "--format=tar", commit, "--", place)
        if place is None or tar is None:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            _unpack(tar, Path(scratch))
            yield from _readable(commit[:9], f"{commit[:9]} {subject}", Path(scratch) / place, notice)


def _size(root: Path, commit: str, place: str) -> int:
    """Bytes of the files of a commit, as they are when they are unpacked."""
    listed = _git(root, "ls-tree", "-r", "-l", "-z", commit, "--", place) or b""
    sizes = (entry.split(b"\t")[0].split()[3] for entry in listed.split(b"\0") if entry)  # mode, type, object, size
    return sum(int(size) for size in sizes if size.isdigit())


def _unpack(tar: bytes, target: Path) -> None:
    """The regular files of an archive that git made; no links, and nothing elsewhere. It is not compressed, so that its files
    are no larger than it is. ``extractall`` has no filter in Python 3.10.11, 3.11.3 and earlier."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and ".." not in Path(member.name).parts else None
            if content is not None:
                path = target / member.name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git answers in ``root``; ``None`` if it cannot."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
