"""What a branch changed, as far as cells depend on it: families, or everything."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from zoo import registry

_FAMILY = re.compile(r"(?:zoo/models/|tests/models/test_)([a-z0-9_]+)\.py")
_EVERYTHING = re.compile(
    r"(?:zoo|exporters|conformance)/.+|pyproject\.toml|(?:tests/(?:models/)?)?conftest\.py|\.github/actions/.+",
    re.DOTALL,
)
_NOTHING = re.compile(r"conformance/reports/.+|.+\.md")
"""Of these, what no cell depends on."""


@dataclass(frozen=True)
class Changed:
    """What is to be run again."""

    families: tuple[str, ...]
    """Those whose own files were changed: all their configurations."""
    everything: bool
    """Whether code was changed that every model uses: the smoke tier of all."""


def depending(paths: Iterable[str], families: Iterable[str]) -> Changed:
    """What depends on files.

    Args:
        paths: Changed files, relative to the project's directory, with ``/``.
        families: The families of the registry. What a file of another family meant is gone, and nothing is left to run.
    """
    known = set(families)
    touched: set[str] = set()
    everything = False
    for path in paths:
        found = _FAMILY.fullmatch(path)
        if found is not None and not path.endswith("__init__.py"):
            touched |= {found[1]} & known
        elif _EVERYTHING.fullmatch(path) and not _NOTHING.fullmatch(path):
            everything = True
    return Changed(tuple(sorted(touched)), everything)


def since(base: str, root: Path) -> Changed:
    """What the checked-out branch changed since it left ``base``, as far as it is committed.

    Raises:
        ConformanceError: git does not know the revision, or where the branch left it.
    """
    if base.startswith("-") or not base:
        raise ConformanceError(f"--base {base!r} is no revision; give a branch, a tag or a commit, such as origin/main.")
    command = ["git", "-C", str(root), "diff", "--name-only", "--no-renames", "-z", f"{base}...HEAD", "--"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()), "git failed")
        raise ConformanceError(f"--base {base}: {reason}. In CI, check out the whole history (fetch-depth: 0).")
    return depending(filter(None, done.stdout.split("\0")), (model.family for model in registry.home().values()))
