"""Exported programs, used as transformers' models are: what ``conformance.load`` returns, one file a kind.

The commands that ask a program (generate, chat, fill-mask, transcribe, classify, detect) use nothing else. What these are made
of, sessions, is in ``conformance.sessions``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.inference.base import LoadedModel, program_of, task_of
from zoo.errors import unknown

if TYPE_CHECKING:
    from exporters.artifact import Artifact

KINDS = {
    "text-generation": ("text", "TextGeneration"),
    "text2text-generation": ("text", "TextToText"),
    "image-text-to-text": ("multimodal", "MultimodalText"),
    "audio-text-to-text": ("multimodal", "MultimodalText"),
    "automatic-speech-recognition": ("speech", "SpeechRecognition"),
    "fill-mask": ("one_pass", "FillMask"),
    "feature-extraction": ("one_pass", "FeatureExtraction"),
    "image-classification": ("one_pass", "ImageClassification"),
    "object-detection": ("one_pass", "ObjectDetection"),
}
"""By task the module in this folder and the class."""
COMMANDS = {
    "text-generation": "zoo generate",
    "text2text-generation": "zoo generate",
    "image-text-to-text": "zoo generate --image",
    "audio-text-to-text": "zoo generate --audio",
    "automatic-speech-recognition": "zoo transcribe",
    "fill-mask": "zoo fill-mask",
    "image-classification": "zoo classify",
    "object-detection": "zoo detect",
}
"""The command that runs a program of a task; none prints the states of feature-extraction."""


def load(
    artifact: Artifact | str | os.PathLike[str],
    *,
    task: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    processor: str | os.PathLike[str] | None = None,
    threads: int = 1,
) -> LoadedModel:
    """Load an exported program for use.

    Args:
        artifact: What ``exporters.export`` returned, the directory that ``zoo export`` wrote, or a ``.pte``.
        task: What it does; ``None`` asks export.json beside the program, or the program itself.
        tokenizer: Directory with tokenizer.json; ``None`` looks beside the program. It is read when a text is given or wanted.
        processor: Directory with preprocessor_config.json, config.json and the tokenizer; ``None`` looks where ``tokenizer``
            says.
        threads: Threads of the runtime, which the whole process shares.

    Returns:
        A ``TextGeneration``, ``TextToText``, ``MultimodalText``, ``SpeechRecognition``, ``FillMask``, ``FeatureExtraction``,
        ``ImageClassification`` or ``ObjectDetection``.

    Raises:
        SessionError: the program is missing or damaged, or lacks what the task needs.
        ZooError: there is no such task.
    """
    import importlib

    path = program_of(artifact)
    if task is not None and task not in KINDS:
        raise unknown("task", task, KINDS)
    module, name = KINDS[task or task_of(path)]
    kind = getattr(importlib.import_module(f"conformance.inference.{module}"), name)
    place = processor or tokenizer
    made: LoadedModel = kind(path, companions=Path(place) if place is not None else path.parent, threads=threads)
    return made


__all__ = ["COMMANDS", "KINDS", "LoadedModel", "load"]
