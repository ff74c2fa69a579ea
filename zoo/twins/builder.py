"""Builds checkpoint directories: a trained twin, or the published dimensions with seeded random weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.model import SOUND_TASKS, Model
from zoo.twins import texts
from zoo.twins.checkpoint import configuration_of, image_processor, network_of, save, special_ids, tokenizer_of

KINDS: Mapping[str, str] = {
    "text-generation": "language",
    "fill-mask": "masked",
    "feature-extraction": "embedding",
    "image-classification": "classifier",
    "image-text-to-text": "multimodal",
    "audio-text-to-text": "multimodal",
    "text2text-generation": "sequence",
    "automatic-speech-recognition": "sequence",
    "object-detection": "detector",
}
"""The module of this package that builds the twins of each task."""
WORDLESS = ("image-classification", "object-detection")
"""Tasks without a tokenizer."""


def spec(model: Model) -> dict[str, Any]:
    """Everything of a row that determines its twin, as JSON values: a part of the cache key."""
    twin = model.twin
    reads = model.task not in WORDLESS
    return {
        "task": model.task,
        "model_type": twin.model_type,
        "seed": twin.seed,
        "max_seq_len": twin.max_seq_len,
        "image_size": twin.image_size,
        "add_bos": twin.add_bos,
        "config": dict(twin.config),
        "processor": dict(model.processor),
        "prompts": texts.pairs(model) if reads else [prompt.text for prompt in model.reference_prompts],
        "shown": [prompt.shown for prompt in model.reference_prompts],
    }


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()


def build(model: Model, directory: Path) -> None:
    """Train the twin of ``model`` and save it in ``directory``.

    Beside what ``save_pretrained`` writes there is ``reference.json``: what the model is asked and what it learned to answer
    (token ids of each prompt with its continuation, of each text with what is masked, the images and their labels), and the
    smallest margin.

    Raises:
        ZooError: the row is wrong, or the twin cannot learn its references (``zoo.twins.training.MARGIN``).
    """
    import torch

    _quiet()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        importlib.import_module(f"zoo.twins.{KINDS[model.task]}").build(model, directory)


def build_full(model: Model, directory: Path) -> None:
    """Save the published dimensions with seeded random weights, the twin's tokenizer and the published preprocessing in
    ``directory``."""
    import torch

    _quiet()
    fast = None if model.task in WORDLESS else tokenizer_of(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        if KINDS[model.task] == "multimodal":
            from zoo.twins import multimodal

            assert fast is not None
            fast.chat_template = multimodal.CHAT_TEMPLATE
            network = multimodal.network_with(model, fast, model.full)
        else:
            network = network_of(model, configuration_of(model, model.full, {} if fast is None else special_ids(model, fast)))
    if fast is None:
        network.save_pretrained(directory)
    else:
        save(network, fast, directory)
    if KINDS[model.task] == "multimodal":
        from zoo.twins import multimodal

        multimodal.processor_of(model, network.config, full=True).save_pretrained(directory)
    elif model.twin.image_size is not None:
        image_processor(model, full=True).save_pretrained(directory)
    elif model.task in SOUND_TASKS:
        from zoo.twins.speech import feature_extractor

        feature_extractor(model, network.config).save_pretrained(directory)
