"""The vocabulary of the registry: ``Model``, ``Prompt`` and ``Twin``. Values only, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

TASKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text-generation": ("CausalLMExportableModule",),
        "fill-mask": ("MaskedLMExportableModule",),
        "feature-extraction": ("CausalLMExportableModule", "MaskedLMExportableModule"),
        "image-classification": ("VisionEncoderExportableModule",),
        "image-text-to-text": ("MultiModalTextToTextExportableModule",),
        "audio-text-to-text": ("MultiModalTextToTextExportableModule",),
        "text2text-generation": ("Seq2SeqLMExportableModule",),
        "automatic-speech-recognition": ("Seq2SeqLMExportableModule", "CTCExportableModule"),
        "object-detection": ("ObjectDetectionExportableModule",),
    }
)
"""The tasks the suite can run, as the Hub names them, with the wrappers that models of each may have."""


IMAGE_TASKS = ("image-classification", "object-detection", "image-text-to-text")
"""The tasks whose models look at images."""

SOUND_TASKS = ("automatic-speech-recognition", "audio-text-to-text")
"""The tasks whose models listen."""

TRAITS: Mapping[str, str] = MappingProxyType(
    {
        "own_attention": "its attention is written out in the model instead of asked for by name",
        "soft_capping": "its attention scores are soft-capped",
        "no_attention": "it does not attend",
        "recurrent": "a pass over several tokens starts its recurrence from nothing",
        "all_sliding": "every attention layer has a sliding window",
        "some_sliding": "some of its attention layers have a sliding window",
        "some_attend": "its first layer is a convolution, and others attend",
        "looks_ahead": "the embeddings of an image attend to each other both ways",
        "untied": "its embedding is not tied to its output layer",
        "position_bias": "its attention scores get a bias of relative positions",
        "listens": "its encoder reads sound",
        "widths_of_32": "the input features of its linear layers are multiples of 32, and not all of 64",
        "widths_of_16": "the input features of its linear layers are multiples of 16, and not all of 32",
    }
)
"""What of an architecture decides which configurations apply to it."""


@dataclass(frozen=True)
class Prompt:
    """A reference prompt."""

    text: str
    """What the model is asked; of a model of images what the reference image shows, such as ``red circle``; of a model that
    listens what the reference sound is, such as ``low tone``."""
    continuation: str | None = None
    """What a twin learns to answer; ``None`` takes the answer from the reference texts."""
    shown: tuple[str, ...] = ()
    """What the images or sounds are that the text has a marker for (``<image>``, ``<audio>``)."""


@dataclass(frozen=True, init=False)
class Twin:
    """The recipe of a tiny trained checkpoint with a model's real architecture.

    ``config`` overrides the toy dimensions; every architectural switch that is not named keeps the default of the
    model's configuration class, which is the real one.
    """

    model_type: str
    """The key of the configuration class in transformers' ``CONFIG_MAPPING``."""
    seed: int
    """Seeds initialisation; the same seed gives the same bytes on the same machine and versions."""
    max_seq_len: int
    """Positions a twin is trained on, and the cache length it is exported with, in tokens."""
    image_size: int | None
    """Height and width of the reference images, in pixels; ``None`` for a model of texts."""
    add_bos: bool
    """Whether the tokenizer puts the beginning-of-sequence token in front of a text, as the real one does."""
    config: Mapping[str, Any] = field(hash=False)

    def __init__(
        self,
        model_type: str,
        *,
        seed: int = 0,
        max_seq_len: int = 64,
        image_size: int | None = None,
        add_bos: bool = False,
        **config: Any,
    ) -> None:
        object.__setattr__(self, "model_type", model_type)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "max_seq_len", max_seq_len)
        object.__setattr__(self, "image_size", image_size)
        object.__setattr__(self, "add_bos", add_bos)
        object.__setattr__(self, "config", MappingProxyType(dict(config)))

    def __reduce__(self) -> tuple[Any, ...]:
        named = {name: getattr(self, name) for name in ("seed", "max_seq_len", "image_size", "add_bos")}
        return _twin, (self.model_type, {**named, **self.config})


def _twin(model_type: str, values: dict[str, Any]) -> Twin:
    """A twin from what it was pickled to: its child process gets the row itself."""
    return Twin(model_type, **values)


NO_TWIN = Twin("")
"""Of a model that only has a checkpoint of its own, or a published one."""


@dataclass(frozen=True)
class Model:
    """A registry row: everything the suite needs to know of one model."""

    name: str
    """Unique, lower case, as one would type it: ``gemma3-270m``."""
    family: str
    """The module under ``zoo/models`` that holds the row; of a model declared elsewhere any name."""
    task: str
    """A key of ``TASKS``."""
    wrapper: str
    """The exportable module class that turns the model into exported programs."""
    methods: tuple[str, ...]
    """The entry points its ``.pte`` must have."""
    prompts: tuple[str | Prompt, ...]
    """Reference prompts; at least two, so that a state that leaks from one request into the next is seen."""
    twin: Twin = NO_TWIN
    """How to build its twin."""
    checkpoint: str | Path | None = None
    """A checkpoint directory that takes the twin's place: what the scale ``twin`` then means."""
    traits: tuple[str, ...] = ()
    """Keys of ``TRAITS``; a test holds them against what the exporter finds."""
    hub_id: str | None = None
    """The published checkpoint."""
    revision: str | None = None
    """The commit of ``hub_id`` that is pinned; ``None`` where none is known, and the reports say "unpinned"."""
    full: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Overrides of the configuration class that give the published dimensions."""
    processor: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Overrides of the class of the image processor or the feature extractor that give the published preprocessing. A twin's
    takes them with its own size."""

    @property
    def has_twin(self) -> bool:
        """Whether a twin can be built."""
        return bool(self.twin.model_type)

    @property
    def reference_prompts(self) -> tuple[Prompt, ...]:
        """``prompts``, each as a ``Prompt``."""
        return tuple(Prompt(prompt) if isinstance(prompt, str) else prompt for prompt in self.prompts)
