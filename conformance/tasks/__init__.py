"""How a cell of each task is run: what the model is fed, and how the program's answers are judged."""

from __future__ import annotations

from collections.abc import Callable

from conformance.record import Record
from conformance.trail import CellRequest, Trail
from zoo.model import Model

Runner = Callable[[Model, CellRequest, Trail, Record], None]
"""Fills in the record of a cell; raises whatever ends it early."""


def runner(model: Model) -> Runner:
    """The function that runs the cells of ``model``."""
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
        return one_pass.runner(feature_extraction.ENCODER)
    if model.wrapper == "CTCExportableModule":
        return one_pass.runner(ctc.TASK)
    return {
        "text-generation": decoder.runner(text_generation.TASK),
        "feature-extraction": decoder.runner(feature_extraction.TASK),
        "fill-mask": one_pass.runner(fill_mask.TASK),
        "image-text-to-text": decoder.runner(multimodal_text_to_text.TASK),
        "audio-text-to-text": decoder.runner(multimodal_text_to_text.TASK),
        "image-classification": one_pass.runner(image_classification.TASK),
        "text2text-generation": decoder.runner(text2text_generation.TASK),
        "automatic-speech-recognition": decoder.runner(speech_recognition.TASK),
        "object-detection": one_pass.runner(object_detection.TASK),
    }[model.task]
