"""A content-addressed store of directories: the twins' and the artifacts'.

An entry is a directory named by the hash of everything that determines its content. It is written beside the store and
moved in with one rename, so that it is there whole or not at all; one lock a key keeps concurrent workers from doing the
work twice; a manifest of checksums is verified on every read, because the runtime does not notice flipped weight bytes. The
system releases a lock when the process that has it dies; what that process left half made goes when the next entry is made.
"""

from __future__ import annotations

import contextlib
import errno
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

from zoo.errors import ResourceError

MANIFEST = "manifest.json"
STACK = ("torch", "transformers", "executorch", "torchao")
"""The packages whose versions are part of every key and every record."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where nothing more can be written: no space, no quota, no larger file."""
_MAKING = "making-"


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


def is_full(error: BaseException | None) -> bool:
    """Whether an error is about a disk (or a quota, or a file) that takes no more, by itself or by what caused it.

    Native code has its own exceptions and no error number: safetensors 0.8 says "No space left on device (os error 28)".
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(os.strerror(number) in str(error) for number in FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


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

        An entry that is there and whole is used, too, where nothing can be written: entries appear with a rename.

        Returns:
            The directory, and whether it was there already.

        Raises:
            ResourceError: the cache cannot be written, or its disk is full.
            Exception: whatever ``make`` raises; the store then holds nothing under this key.
        """
        entry = self.directory / key
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.directory / f"{key}.lock")
            lock.acquire()
        except OSError as error:
            wrong = self.damage(entry) if entry.is_dir() else "it is not there"
            if wrong is None:
                return entry, True
            raise self._unwritable(f"cannot make the entry {key} ({wrong})", error) from error
        try:
            if entry.is_dir() and self.damage(entry) is None:
                return entry, True
            self._make(key, make)
            return entry, False
        finally:
            lock.release()

    def _make(self, key: str, make: Callable[[Path], None]) -> None:
        """Make an entry whose lock is held, in the place of one that is damaged."""
        entry, work = self.directory / key, self.directory / f"{_MAKING}{key}"
        damaged = work.with_name(f"{work.name}.damaged")
        self._clear(key)
        try:
            work.mkdir()
            make(work)
            (work / MANIFEST).write_text(json.dumps(self._checksums(work), indent=1, sort_keys=True))
            if entry.is_dir():  # whoever reads it meanwhile has the other one at once
                entry.rename(damaged)
            work.rename(entry)
        except ResourceError:
            raise
        except Exception as error:
            if is_full(error):
                raise self._unwritable(f"cannot make the entry {key}", error) from error
            raise
        finally:
            for left in (work, damaged):
                shutil.rmtree(left, ignore_errors=True)

    def _clear(self, key: str) -> None:
        """Remove what processes that were killed left half made, under this key (whose lock is held) or any other."""
        for left in self.directory.glob(f"{_MAKING}*"):
            other = left.name.removeprefix(_MAKING).removesuffix(".damaged")
            if other == key:
                shutil.rmtree(left, ignore_errors=True)
                continue
            with contextlib.suppress(OSError), filelock.FileLock(self.directory / f"{other}.lock", timeout=0):
                shutil.rmtree(left, ignore_errors=True)  # nobody is at work on it

    def _unwritable(self, what: str, error: BaseException) -> ResourceError:
        """The error for an entry that cannot be made where the cache is."""
        if is_full(error):
            why = "no space is left there. Free some, or set ZOO_CACHE to a directory on another disk."
        else:
            why = f"{error}. Set ZOO_CACHE to a directory you can write to."
        return ResourceError(f"{what} of the cache {self.directory}: {why}")

    @staticmethod
    def _checksums(directory: Path) -> dict[str, str]:
        files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != MANIFEST)
        return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}

    @classmethod
    def damage(cls, entry: Path) -> str | None:
        """What is wrong with an entry; ``None`` when each file is as it was written."""
        try:
            expected = dict(json.loads((entry / MANIFEST).read_text()))
        except (OSError, ValueError, TypeError) as error:
            return f"unreadable manifest: {error}"
        try:
            found = cls._checksums(entry)
        except OSError as error:
            return f"unreadable: {error}"
        for name in sorted(set(expected) | set(found)):
            if expected.get(name) != found.get(name):
                return f"{name} is {'missing' if name not in found else 'not as it was written'}"
        return None
