"""What an encoder reads: a text, or a sound as its feature extractor makes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from exporters.config import ExportConfig
from exporters.errors import ExportError

DEFAULT_MAX_TOKENS = 512
DEFAULT_MAX_SECONDS = 30
PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Source:
    """The input of an encoder."""

    name: str
    """What transformers calls it: ``input_ids``, ``input_features`` or ``input_values``."""
    shape: tuple[int | None, ...]
    """[1, length], [1, length, features] or [1, features, length]; the length is ``None``."""
    shortest: int
    """Tokens, samples or frames at least."""
    longest: int
    """Tokens, samples or frames at most."""
    states: int
    """Hidden states of the longest source."""
    dynamic: bool
    """Whether every length between is taken; otherwise the longest only."""
    sampling_rate: int | None
    """Samples a second of a sound; ``None`` of a text."""

    @property
    def axis(self) -> int:
        """The axis of the length."""
        return self.shape.index(None)

    @property
    def masked(self) -> bool:
        """Whether it may be padded, and comes with a mask. A sound comes as long as it is."""
        return self.sampling_rate is None

    @property
    def features(self) -> int | None:
        """Numbers of a frame; ``None`` of tokens and samples."""
        return next((size for size in self.shape[1:] if size is not None), None)

    def example(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """A source to trace with, and its mask if it has one.

        Of a sound it is the longest one: lowering asks whether a convolution reads more than 20480 numbers, to choose a kernel
        (torch 2.13.0), and takes the example's answer for a bound of the length.
        """
        length = self.longest if not (self.masked and self.dynamic) else min(3, self.longest)
        sizes = tuple(length if size is None else size for size in self.shape)
        if self.masked:
            return torch.zeros(sizes, dtype=torch.long), torch.ones(sizes, dtype=torch.long)
        return (torch.zeros(sizes, dtype=dtype),)


def source_of(model: PreTrainedModel, config: ExportConfig) -> Source:
    """What the encoder of ``model`` reads.

    Raises:
        ExportError: it reads something else than text or sound, it has no positions for ``max_source_len``, or the checkpoint
            does not say how its sounds are sampled.
    """
    name = model.main_input_name
    if name == "input_ids":
        room = getattr(model.config, "max_position_embeddings", None)
        longest = _longest(config, room, DEFAULT_MAX_TOKENS, "tokens")
        return Source(name, (1, None), 1, longest, longest, config.dynamic_shapes, None)
    rate = sampling_rate(model)
    if name == "input_values":
        longest = _longest(config, None, DEFAULT_MAX_SECONDS * rate, "samples")
        shortest = _shortest(model, longest, "samples")
        return Source(name, (1, None), shortest, longest, _states(model, longest), True, rate)
    if name != "input_features":
        raise ExportError(f"{type(model).__name__} reads {name}; sources of text and of sound can be exported.")
    if hasattr(model.config, "num_mel_bins"):
        # Whisper's encoder refuses every other number of frames: its feature extractor fills up with silence.
        states = int(model.config.max_source_positions)
        frames = 2 * states
        if config.max_source_len not in (None, frames):
            raise ExportError(
                f"max_source_len {config.max_source_len}: {type(model).__name__} reads {frames} frames, no more and no fewer."
            )
        return Source(name, (1, model.config.num_mel_bins, None), frames, frames, states, False, rate)
    frames_a_second = 100
    room = model.config.max_source_positions
    longest = _longest(config, room, DEFAULT_MAX_SECONDS * frames_a_second, "frames")
    width = model.config.input_feat_per_channel * model.config.input_channels
    return Source(name, (1, None, width), _shortest(model, longest, "frames"), longest, _states(model, longest), True, rate)


def sampling_rate(model: PreTrainedModel) -> int:
    """Samples a second of the sounds of a model, as the feature extractor beside its checkpoint takes them.

    Raises:
        ExportError: there is none, or it does not say.
    """
    path = Path(model.name_or_path) / PREPROCESSOR
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(values.get("sampling_rate"), int):
        raise ExportError(f"{path} does not say with which sampling_rate the sounds of {type(model).__name__} are recorded.")
    return int(values["sampling_rate"])


def _longest(config: ExportConfig, room: int | None, default: int, unit: str) -> int:
    longest = config.max_source_len or min(room or default, default)
    if room and longest > room:
        raise ExportError(f"max_source_len {longest} exceeds the {room} {unit} that the encoder has positions for.")
    return longest


def _shortest(model: Any, longest: int, unit: str) -> int:
    """The shortest sound: two states of an encoder, because torch.export (2.13.0) takes a single one for a size that is always
    1. That is less than a tenth of a second.

    Raises:
        ExportError: the longest one is shorter.
    """
    for length in range(1, longest + 1):
        if _states(model, length) > 1:
            return length
    raise ExportError(f"max_source_len {longest}: an encoder of {type(model).__name__} makes nothing of so few {unit}.")


def _states(model: Any, length: int) -> int:
    """Hidden states of a sound of so many samples or frames."""
    return int(model._get_feat_extract_output_lengths(torch.tensor(length)))
