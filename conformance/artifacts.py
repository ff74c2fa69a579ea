"""The artifact cache: a checkpoint is exported under a configuration once, until what determines the result changes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import exporters
from exporters.artifact import ACCOUNT, Artifact
from exporters.config import ExportConfig
from zoo.cache import DirectoryStore, source_sha256

if TYPE_CHECKING:
    from exporters.pipeline import OnStage


def cached_export(
    checkpoint: Path,
    config: ExportConfig,
    *,
    task: str,
    stock_lowering: bool = False,
    on_stage: OnStage | None = None,
) -> tuple[Artifact, bool]:
    """The artifact of a checkpoint, from the cache or exported now; and whether it was there already.

    The key is made of the checkpoint's bytes, the configuration, the exporter's source and the stack's versions. A program that
    is to be lowered as upstream does it is never taken for one that was not, though their bytes are to be equal.
    """
    from exporters.pipeline import checkpoint_sha256, export

    def make(target: Path) -> None:
        export(checkpoint, config, target, task=task, stock_lowering=stock_lowering, on_stage=on_stage)

    store = DirectoryStore("artifacts")
    key = store.key(
        {
            "checkpoint": checkpoint_sha256(checkpoint),
            "configuration": config.to_mapping(),
            "task": task,
            "stock_lowering": stock_lowering,
            "source": source_sha256([Path(exporters.__file__).parent]),
        }
    )
    directory, cached = store.get_or_make(key, make)
    return Artifact.load(directory), cached


def find_program(sha256: str) -> Path | None:
    """A program in the cache by the SHA-256 of its bytes, whatever code made it; ``None`` if there is none."""
    for account in sorted(DirectoryStore("artifacts").directory.glob(f"[!m]*/{ACCOUNT}")):  # making-* is not whole
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            file = json.loads(account.read_text(encoding="utf-8"))["file"]
            program = account.parent / str(file["name"])
            if file["sha256"] == sha256 and program.is_file():
                return program
    return None
