"""The twins of models that listen: they transcribe the reference sounds, through their real feature extractors."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import sounds
from zoo.twins.checkpoint import refer, save, tokenizer_of
from zoo.twins.sequence import Sample, remember, sequence_network, targets, train
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, fit, worst_margin


def build(model: Model, directory: Path) -> None:
    """A model that transcribes what it hears: an encoder and a decoder, or an encoder trained with CTC."""
    fast = tokenizer_of(model)
    network = sequence_network(model, fast)
    extractor = feature_extractor(model, network.config)
    heard = [(prompt.text, features(extractor, sounds.draw(prompt.text))) for prompt in model.reference_prompts]
    longest = longest_source(extractor, network)
    if model.wrapper == "CTCExportableModule":
        _build_ctc(model, network, fast, heard, directory, longest)
    else:
        samples = [
            Sample(source, tokens, {"sound": name})
            for (name, source), tokens in zip(heard, targets(model, fast, network.config.decoder_start_token_id), strict=True)
        ]
        margin = train(network, samples, name=model.name)
        save(network, fast, directory)
        remember(model, samples, margin, directory, max_source_len=longest)
    extractor.save_pretrained(directory)


def feature_extractor(model: Model, configuration: Any) -> Any:
    """The model's own feature extractor, with the published preprocessing; Whisper's makes sounds as long as its encoder
    reads."""
    import transformers
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    name = FEATURE_EXTRACTOR_MAPPING_NAMES.get(model.twin.model_type)
    if name is None:
        raise ZooError(f"model {model.name!r}: transformers has no feature extractor of {model.twin.model_type}.")
    kind = getattr(transformers, name)
    values = dict(model.processor)
    if hasattr(configuration, "num_mel_bins"):
        own = kind()
        frames_a_second = own.sampling_rate // own.hop_length
        values |= {
            "feature_size": configuration.num_mel_bins,
            "chunk_length": 2 * configuration.max_source_positions // frames_a_second,
        }
    return kind(**values)


def features(extractor: Any, wave: Any) -> dict[str, torch.Tensor]:
    """What an encoder reads of a sound [samples]."""
    made = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    name = extractor.model_input_names[0]
    return {name: made[name]}


def longest_source(extractor: Any, network: Any) -> int:
    """Samples or frames of the longest sound that a twin is exported for."""
    import numpy as np

    silence = np.zeros(sounds.MAX_SECONDS * extractor.sampling_rate, dtype=np.float32)
    made = features(extractor, silence)[network.main_input_name]
    # Frames stand before their features in Speech2Text's, and after them in Whisper's.
    return int(made.shape[2] if hasattr(network.config, "num_mel_bins") else made.shape[1])


def _build_ctc(
    model: Model,
    network: Any,
    coder: Any,
    heard: list[tuple[str, dict[str, torch.Tensor]]],
    directory: Path,
    longest: int,
) -> None:
    labels = [coder(name.upper())["input_ids"] for name, _ in heard]
    margin = train_ctc(network, [source for _, source in heard], labels, name=model.name)
    network.save_pretrained(directory)
    coder.save_pretrained(directory)
    refer(
        directory,
        max_source_len=longest,
        smallest_margin=margin,
        samples=[{"sound": name, "labels": ids} for (name, _), ids in zip(heard, labels, strict=True)],
    )


def train_ctc(model: nn.Module, sources: list[dict[str, torch.Tensor]], labels: list[list[int]], *, name: str) -> float:
    """Train an encoder in place until the best classes of its frames, collapsed, are the labels of each sound.

    Where a letter stands is told, evenly over the sound, instead of left open as CTC's loss does: a twin learns by heart, and
    is certain of every frame, many times sooner.

    Returns:
        The smallest top-2 margin over all frames, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``, or a sound is too short for its transcript.
    """
    blank: int = model.config.pad_token_id  # type: ignore[union-attr, assignment]
    with torch.no_grad():
        frames = [model(**source).logits.shape[1] for source in sources]
    wanted = torch.tensor(
        [each for ids, count in zip(labels, frames, strict=True) for each in spread(ids, count, blank, name=name)]
    )

    def answers() -> torch.Tensor:
        return torch.cat([model(**source).logits[0] for source in sources])

    @torch.no_grad()
    def margin() -> float:
        return worst_margin(answers(), wanted)

    worst = fit(model, lambda: nn.functional.cross_entropy(answers(), wanted), margin, good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot transcribe its sounds: after {MAX_STEPS} steps the smallest top-2 margin of a frame "
            f"is {worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more width or layers."
        )
    return worst


def spread(labels: list[int], frames: int, blank: int, *, name: str) -> list[int]:
    """A class for each frame, so that they collapse to the labels: each label in one, evenly, and blanks between.

    Raises:
        ZooError: there are too few frames.
    """
    classes = [blank] * frames
    for index, label in enumerate(labels):
        classes[int((index + 0.5) * frames / len(labels))] = label
    if collapse(classes, blank) != labels:
        raise ZooError(f"a sound of {name!r} has {frames} frames, too few for a transcript of {len(labels)} letters.")
    return classes


def collapse(classes: list[int], blank: int) -> list[int]:
    """What the classes of successive frames spell: repetitions once, blanks left out (CTC, Graves et al. 2006)."""
    kept = [each for before, each in itertools.pairwise([blank, *classes]) if each != before]
    return [each for each in kept if each != blank]
