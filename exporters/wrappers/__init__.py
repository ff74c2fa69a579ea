"""The exportable modules: one file a wrapper. A wrapper turns a transformers model into the methods of a ``.pte``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from exporters.config import ExportConfig

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
"""The wrappers of each task; where there are several, the architecture decides (``wrap``)."""


@dataclass(frozen=True)
class ExportableMethod:
    """What ``torch.export`` needs to trace one method."""

    module: Any
    """A ``torch.nn.Module`` whose ``forward`` is the method."""
    example_inputs: tuple[Any, ...]
    dynamic_shapes: Any
    """As ``torch.export.export`` takes it; ``None`` for static shapes."""
    deferred: bool = False
    """Leave what torch cannot prove of dynamic shapes to be asserted while running: after strided convolutions a length is a
    quotient, and torch 2.13.0 does not see that it divides its own products."""
    fold: bool = False
    """Whether what does not depend on the inputs is computed while exporting (``exporters.folding``)."""


class Wrapper(Protocol):
    """What the pipeline asks of a wrapper."""

    config: ExportConfig
    """What it is exported for."""

    @property
    def max_seq_len(self) -> int | None:
        """Tokens of a sequence at most; ``None`` where there is no sequence."""
        ...

    def methods(self) -> Mapping[str, ExportableMethod]:
        """The methods of the ``.pte``, by name."""
        ...

    def constant_methods(self) -> Mapping[str, Any]:
        """The metadata of the ``.pte``: methods that return a constant."""
        ...

    def cache_report(self) -> list[dict[str, Any]]:
        """Kind and capacity of each cache layer."""
        ...


def wrap(model: Any, task: str, config: ExportConfig) -> Wrapper:
    """The wrapper of ``task`` around a transformers model in evaluation mode.

    Raises:
        ExportError: the task is unknown, or the model cannot be wrapped.
    """
    from exporters.errors import unknown_option
    from exporters.wrappers.causal_lm import CausalLMExportableModule
    from exporters.wrappers.ctc import CTCExportableModule
    from exporters.wrappers.masked_lm import MaskedLMExportableModule
    from exporters.wrappers.multimodal import MultiModalTextToTextExportableModule
    from exporters.wrappers.object_detection import ObjectDetectionExportableModule
    from exporters.wrappers.seq2seq_lm import Seq2SeqLMExportableModule
    from exporters.wrappers.vision import VisionEncoderExportableModule

    if task not in TASKS:
        raise unknown_option("task", task, TASKS)
    if task in ("image-text-to-text", "audio-text-to-text"):
        return MultiModalTextToTextExportableModule(model, config)
    if task == "image-classification":
        return VisionEncoderExportableModule(model, config)
    if task in ("text2text-generation", "automatic-speech-recognition"):
        return (
            Seq2SeqLMExportableModule(model, config) if model.config.is_encoder_decoder else CTCExportableModule(model, config)
        )
    if task == "object-detection":
        return ObjectDetectionExportableModule(model, config)
    if task == "fill-mask" or (task == "feature-extraction" and reads_both_ways(model)):
        return MaskedLMExportableModule(model, config)
    return CausalLMExportableModule(model, config)


def refuse_cache_options(model: Any, config: ExportConfig) -> None:
    """Refuse what only a decoder has.

    Raises:
        NotApplicableError: the configuration asks for it.
    """
    from exporters.errors import NotApplicableError

    if config.max_prefill_len is not None:
        raise NotApplicableError(
            f"max_prefill_len: {type(model).__name__} reads all of its input in one call; export without it."
        )
    for option in ("use_custom_kv_cache", "use_custom_sdpa"):
        if getattr(config, option):
            raise NotApplicableError(
                f"{option}: {type(model).__name__} keeps no KV cache, and llama::custom_sdpa attends to one; export without it."
            )


def prefill_len(config: ExportConfig, max_seq_len: int) -> int:
    """Tokens that one call of a decoder takes at most.

    Raises:
        ExportError: more than the cache holds.
    """
    replace(config, max_seq_len=max_seq_len)  # refused as if it had been asked for
    return config.max_prefill_len or max_seq_len


def refuse_pt2e(model: Any, config: ExportConfig) -> None:
    """Refuse quantization of exported programs where there are several.

    Raises:
        NotApplicableError: the configuration asks for it.
    """
    from exporters.errors import NotApplicableError

    if config.pt2e_quantize is not None:
        raise NotApplicableError(
            f"pt2e_quantize: {type(model).__name__} becomes several methods, and programs are quantized one at a time; use "
            "qlinear, and qlinear_encoder for its encoder."
        )


def reads_both_ways(model: Any) -> bool:
    """Whether a transformers model is an encoder, whose every token sees those after it, and no decoder with a KV cache."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return model.config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(model.config, "is_decoder", False)
