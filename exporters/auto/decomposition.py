"""The components of a model that generates, each with the inputs that a real ``generate`` calls it with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from exporters.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

Components = dict[str, "tuple[nn.Module, dict[str, Any]]"]
"""Component: its module and the keyword arguments of its ``forward``."""

ORDER = (
    "image_encoder",
    "audio_encoder",
    "multi_modal_projector",
    "connector",
    "embed_vision",
    "embed_audio",
    "language_model",
    "lm_head",
)
"""The components of a model that also looks or listens, in the order they are run; transformers' order varies."""


def decompose_for_generation(model: Any, inputs: Mapping[str, Any], *, multi_token_decode: bool = False) -> Components:
    """Split a model that generates into what can be exported on its own.

    The model generates a few tokens, and what its ``forward`` is called with is recorded.

    Args:
        model: A transformers model with ``generate``.
        inputs: What one would give to ``generate``: a short prompt, a small image. Sizes that shall be dynamic must not be 1.
        multi_token_decode: Record two steps of decoding as one call, so that the number of tokens may be dynamic.

    Returns:
        ``prefill`` and ``decode``; of a model that also looks or listens, as far as it has them, ``image_encoder`` or
        ``audio_encoder``, its projector (``multi_modal_projector``, ``connector``, ``embed_vision`` or ``embed_audio``),
        ``language_model``, ``lm_head`` and ``decode``.

    Raises:
        ExportError: the model does not generate from these inputs.
    """
    stages = decompose_prefill_decode(model, inputs, multi_token_decode=multi_token_decode)
    if not is_multimodal(model):
        return stages
    # Not of the recorded prefill, as transformers 5.23.0 does: ``generate`` encodes images and sound before it, and the encoder
    # and the projector would be missing.
    return {**decompose_multimodal(model, inputs), "decode": stages["decode"]}


def decompose_prefill_decode(model: Any, inputs: Mapping[str, Any], *, multi_token_decode: bool = False) -> Components:
    """As ``decompose_for_generation``, into ``prefill`` and ``decode`` whatever else the model has."""
    from transformers.exporters import utils

    generative = _generative(model)
    return _run(lambda: utils.decompose_prefill_decode(generative, _copy(inputs), multi_token_decode=multi_token_decode))


def decompose_multimodal(model: Any, inputs: Mapping[str, Any]) -> Components:
    """The encoder, the projector, the language model and the head of a model that also looks or listens.

    Args:
        model: Such a transformers model.
        inputs: What one would give to ``forward``.

    Raises:
        ExportError: it reads nothing but text, or its ``forward`` does not take these inputs.
    """
    import transformers
    from transformers.exporters import utils

    if not is_multimodal(model):
        raise ExportError(f"{type(model).__name__} has no encoder of images or sound beside a language model.")
    assert isinstance(model, transformers.PreTrainedModel)
    found = _run(lambda: utils.decompose_multimodal(model, _copy(inputs)))
    return {name: found[name] for name in sorted(found, key=ORDER.index)}


def is_multimodal(model: Any) -> bool:
    """Whether a model has an encoder of images or sound, and a language model."""
    from transformers.exporters import utils

    return bool(utils.is_multimodal(model))


def get_leaf_tensors(value: Any) -> dict[str, Tensor]:
    """The tensors in nested mappings, sequences and objects, by their dotted path; ``output`` for a tensor alone."""
    from transformers.exporters import utils

    found: dict[str, Tensor] = utils.get_leaf_tensors(value)
    return found


def prepare_for_export(model: Any, inputs: Mapping[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Inputs as a trace takes them: of the model's type, without what is not a tensor's business, and with what the model would
    work out from values (the patches of each image) worked out.

    Returns:
        The model, new inputs, and the flags that were among them (``use_cache``, ``output_hidden_states`` …), which belong into
        the model's configuration while it is traced.

    Raises:
        ExportError: labels are among the inputs: a loss is not exported.
    """
    from transformers.exporters import utils

    try:
        model, prepared, flags = utils.prepare_for_export(model, _copy(inputs))
    except ValueError as error:
        raise ExportError(str(error)) from error
    return model, dict(prepared), dict(flags)


def _copy(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(dict(inputs))


def _generative(model: Any) -> Any:
    if not (hasattr(model, "generate") and getattr(model, "can_generate", lambda: False)()):
        raise ExportError(f"{type(model).__name__} does not generate; export it with export().")
    return model


def _run(decompose: Callable[[], Components]) -> Components:
    try:
        return decompose()
    except RuntimeError as error:
        reason = error.__cause__ or error
        raise ExportError(
            f"the model cannot be taken apart: {' '.join(str(error).split())} ({type(reason).__name__}: {reason})"
        ) from error
