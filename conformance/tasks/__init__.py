"""How a cell of each task is run: what the model is fed, and how the program's answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.record import Record
from conformance.trail import CellRequest, Trail
from exporters.config import ExportConfig
from zoo.model import Model

Runner = Callable[[Model, CellRequest, Trail, Record], None]
"""Fills in the record of a cell; raises whatever ends it early."""


@dataclass(frozen=True)
class Phase:
    """A part of what a session does, to be timed by itself."""

    prepare: Callable[[Any], object]
    """Brings a session to where the part begins."""
    work: Callable[[Any], object]
    steps: int = 1
    """Tokens that are decoded one by one."""


@dataclass(frozen=True)
class Bench:
    """A cell that is ready to be timed: what its sessions are, and what they are fed."""

    checkpoint: Path
    config: ExportConfig
    eager: Any
    """The session of eager PyTorch."""
    open: Callable[..., Any]
    """From a program's path (and ``expected``, ``verify``) its session."""
    measure: Callable[..., dict[str, Any]]
    """From sessions by name (and ``blocks``, ``against``) what ``conformance.latency`` finds."""
    phases: Mapping[str, Phase]
    """By name: ``encode``, ``prefill`` and ``decode``, or ``infer``."""


Bencher = Callable[[Model, CellRequest, Trail], Bench]
"""Prepares a cell for being timed; raises whatever is in its way."""


def runner(model: Model) -> Runner:
    """The function that runs the cells of ``model``."""
    family, task = _task(model)
    found: Runner = family.runner(task)
    return found


def bencher(model: Model) -> Bencher:
    """The function that prepares the cells of ``model`` for being timed, and nothing else."""
    family, task = _task(model)
    found: Bencher = family.bencher(task)
    return found


def _task(model: Model) -> tuple[Any, Any]:
    """The module that runs cells of the model's kind, and the model's task."""
    from conformance.tasks import (
        ctc,
        decoder,
        feature_extraction,
        fill_mask,
        image_classification,
        multimodal_text_to_text,
        object_detection,
        one_pass,
        speech_recognition,
        text2text_generation,
        text_generation,
    )

    if model.task == "feature-extraction" and model.wrapper == "MaskedLMExportableModule":
        return one_pass, feature_extraction.ENCODER
    if model.wrapper == "CTCExportableModule":
        return one_pass, ctc.TASK
    return {
        "text-generation": (decoder, text_generation.TASK),
        "feature-extraction": (decoder, feature_extraction.TASK),
        "fill-mask": (one_pass, fill_mask.TASK),
        "image-text-to-text": (decoder, multimodal_text_to_text.TASK),
        "audio-text-to-text": (decoder, multimodal_text_to_text.TASK),
        "image-classification": (one_pass, image_classification.TASK),
        "text2text-generation": (decoder, text2text_generation.TASK),
        "automatic-speech-recognition": (decoder, speech_recognition.TASK),
        "object-detection": (one_pass, object_detection.TASK),
    }[model.task]
