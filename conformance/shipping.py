"""What ``zoo export`` does around the exporter: find the checkpoint, bring along what the program needs, check the program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.errors import ConformanceError
from exporters.artifact import Artifact
from zoo import checkpoints, registry
from zoo.errors import unknown

if TYPE_CHECKING:
    from conformance.checking import Verdict

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
    "preprocessor_config.json",
    "vocab.json",
    "added_tokens.json",
    "source.spm",
    "target.spm",
)


def checkpoint(model: str, *, scale: str = "twin", revision: str | None = None) -> Path:
    """The checkpoint directory that ``--model`` names: a registry name, a directory, or a hub id.

    Raises:
        ZooError: it is none of these, or cannot be had.
    """
    if model in registry.models():
        if revision is not None:
            raise ConformanceError("--revision belongs to a hub id; the registry states a model's own.")
        return checkpoints.resolve(registry.get(model), scale)
    if scale != "twin":
        raise ConformanceError(f"--scale belongs to a registry name, and {model!r} is none. 'zoo list' shows them.")
    directory = Path(model)
    if model and directory.is_dir():
        if revision is not None:
            raise ConformanceError(f"--revision belongs to a hub id, and {model!r} is a directory.")
        return checkpoints.check_directory(directory)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return checkpoints.download(model, revision)
    raise unknown("model", model, registry.models(), hint="A checkpoint directory or a hub id works, too.")


def copy_companions(source: Path, target: Path) -> None:
    """Put the tokenizer or the image processor and the configuration beside the program, so that the directory is all one needs
    to run it."""
    for name in COMPANIONS:
        if (source / name).is_file() and source.resolve() != target.resolve():
            shutil.copyfile(source / name, target / name)


def check(artifact: Artifact, source: Path, *, trained: bool = True) -> Verdict:
    """Compare a program that was just exported with its checkpoint, as ``zoo check`` does. ``trained`` is false for random
    weights."""
    from conformance import checking

    return checking.check(artifact.program, source, task=artifact.account.task, trained=trained)
