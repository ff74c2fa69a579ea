"""A git ref as the other side: its code runs the same cells, and its programs are timed beside ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from conformance import record as store
from conformance.artifacts import find_program
from conformance.baselines import Entry
from conformance.errors import ConformanceError
from conformance.gate import Timing
from conformance.record import Record
from conformance.statistics import Launch

RUN = "from conformance.cli import main; main()"


@contextmanager
def worktree(root: Path, ref: str) -> Iterator[Path]:
    """A temporary directory with the project as it is at ``ref``; it is gone afterwards, whatever happens.

    Raises:
        ConformanceError: ``root`` is in no git repository, or the ref names no commit of the project.
    """
    top = _git(root, "rev-parse", "--show-toplevel", told=f"{root.resolve()} is in no git repository; run it in the project's.")
    commit = _git(
        root,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{ref}^{{commit}}",
        told=f"--against {ref!r} names no commit here. Name a branch, a tag or a commit that 'git log' knows; fetch it first.",
    )
    place = Path(tempfile.mkdtemp(prefix="zoo-against-"))
    tree = place / "tree"
    try:
        _git(Path(top), "worktree", "add", "--detach", os.fspath(tree), commit, told=f"cannot check out {ref}")
        inside = tree / root.resolve().relative_to(Path(top).resolve())
        if not any((inside / "conformance" / name).exists() for name in ("cli", "cli.py")):
            raise ConformanceError(f"--against {ref!r}: there is no zoo in {commit[:12]} (no conformance/cli).")
        yield inside
    finally:
        removed = subprocess.run(
            ["git", "-C", top, "worktree", "remove", "--force", os.fspath(tree)], capture_output=True, check=False
        )
        shutil.rmtree(place, ignore_errors=True)
        if removed.returncode:
            subprocess.run(["git", "-C", top, "worktree", "prune"], capture_output=True, check=False)


def _git(root: Path, *arguments: str, told: str) -> str:
    try:
        done = subprocess.run(["git", "-C", os.fspath(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ConformanceError("--against needs git, which is not installed.") from error
    if done.returncode:
        said = next(iter(reversed(done.stderr.strip().splitlines())), "")
        raise ConformanceError(f"{told}{f' ({said})' if said else ''}")
    return done.stdout.strip()


def run(tree: Path, arguments: Sequence[str]) -> list[Record]:
    """The records of ``zoo run`` with the code in ``tree``, in the same interpreter and with the same caches.

    Raises:
        ConformanceError: that code cannot run the cells.
    """
    records = tree / ".zoo" / "records.jsonl"
    records.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "run", *arguments, "--records", os.fspath(records)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.fspath(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        said = next(iter(reversed(done.stderr.strip().splitlines())), "it said nothing")
        raise ConformanceError(f"the other side's 'zoo run' ended with code {done.returncode}: {said}")
    return store.read(records)


def programs(
    before: Mapping[str, Entry], after: Mapping[str, Entry]
) -> tuple[dict[str, tuple[Path, Path]], dict[str, tuple[str, ...]]]:
    """The programs to time beside each other, by cell, and the cells where there is nothing to time, by reason."""
    found: dict[str, tuple[Path, Path]] = {}
    rest: dict[str, list[str]] = {}
    for cell in sorted(before.keys() & after.keys()):
        old, new = before[cell], after[cell]
        if old.status != "pass" or new.status != "pass" or old.file_sha256 is None or new.file_sha256 is None:
            continue
        if old.file_sha256 == new.file_sha256:
            rest.setdefault("the programs are the same, byte for byte", []).append(cell)
            continue
        pair = find_program(old.file_sha256), find_program(new.file_sha256)
        if pair[0] is None or pair[1] is None:
            rest.setdefault("a program is no longer in the cache", []).append(cell)
            continue
        found[cell] = pair[0], pair[1]
    return found, {why: tuple(cells) for why, cells in rest.items()}


def timings(
    found: Mapping[str, tuple[Path, Path]], phases: Mapping[str, Sequence[str]]
) -> dict[Timing, tuple[list[Launch], ...]]:
    """Timings without any launch yet.

    Args:
        found: The programs by cell.
        phases: The phases of each cell.
    """
    return {(cell, phase): ([],) for cell in found for phase in phases[cell]}
