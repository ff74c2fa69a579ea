"""A content-addressed store of directories: the twins' and the artifacts'.

An entry is a directory named by the hash of everything that determines its content. It is written beside the store and
moved in with one rename, so that it is there whole or not at all; one lock a key keeps concurrent workers from doing the
work twice; a manifest of checksums is verified on every read, because the runtime does not notice flipped weight bytes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from zoo.errors import ZooError

MANIFEST = "manifest.json"
STACK = ("torch", "transformers", "executorch", "torchao")
"""The packages whose versions are part of every key and every record."""


def root() -> Path:
    """Where the caches live: ``$ZOO_CACHE``, else the user's cache directory."""
    return Path(os.environ.get("ZOO_CACHE") or platformdirs.user_cache_dir("executorch-zoo", appauthor=False))


def stack_versions() -> dict[str, str]:
    """Installed versions of the stack under test, by package."""
    return {package: importlib.metadata.version(package) for package in STACK}


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:  # CPython 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def directory_sha256(directory: Path) -> str:
    """SHA-256 over the names and bytes of the files in a checkpoint directory; the manifest does not count."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            digest.update(f"{path.relative_to(directory).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def source_sha256(packages: Iterable[str | Path]) -> str:
    """SHA-256 over the source files of directories or single files: the code that makes an entry is part of its key."""
    digest = hashlib.sha256()
    for package in packages:
        path = Path(package)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix in {".py", ".txt"}:
                digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


class DirectoryStore:
    """The entries of one kind.

    Args:
        kind: The subdirectory of the cache root, such as ``twins``.
        base: The cache root; ``root()`` when it is not given.
    """

    def __init__(self, kind: str, base: Path | None = None) -> None:
        self.directory = (base or root()) / kind
        self.kind = kind

    def key(self, parts: Mapping[str, Any]) -> str:
        """The key of an entry that is determined by ``parts`` (JSON values) and the stack's versions."""
        canonical = json.dumps({**parts, "versions": stack_versions()}, sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def get_or_make(self, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
        """The directory of ``key``, made by ``make(empty directory)`` if it is missing or damaged.

        Returns:
            The directory, and whether it was there already.

        Raises:
            ZooError: the cache cannot be written.
            Exception: whatever ``make`` raises; the store then holds nothing under this key.
        """
        entry = self.directory / key
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.directory / f"{key}.lock")
            lock.acquire()
        except OSError as error:
            raise ZooError(
                f"cannot write the cache {self.directory}: {error}. Set ZOO_CACHE to a directory you can write to."
            ) from error
        try:
            if entry.is_dir():
                if not self.damage(entry):
                    return entry, True
                shutil.rmtree(entry)
            work = self.directory / f"making-{key}"
            shutil.rmtree(work, ignore_errors=True)  # what a killed process left
            try:
                work.mkdir()
                make(work)
                (work / MANIFEST).write_text(json.dumps(self._checksums(work), indent=1, sort_keys=True))
                work.rename(entry)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            return entry, False
        finally:
            lock.release()

    @staticmethod
    def _checksums(directory: Path) -> dict[str, str]:
        files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != MANIFEST)
        return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}

    @classmethod
    def damage(cls, entry: Path) -> str | None:
        """What is wrong with an entry; ``None`` when each file is as it was written."""
        try:
            expected = json.loads((entry / MANIFEST).read_text())
        except (OSError, ValueError) as error:
            return f"unreadable manifest: {error}"
        found = cls._checksums(entry)
        for name in sorted(set(expected) | set(found)):
            if expected.get(name) != found.get(name):
                return f"{name} is {'missing' if name not in found else 'not as it was written'}"
        return None
