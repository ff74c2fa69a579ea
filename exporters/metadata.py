"""Constant methods: what a ``.pte`` says of itself, as ExecuTorch's runners and ours read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from transformers import PreTrainedModel

from exporters.config import ExportConfig
from exporters.errors import ExportError

DTYPE_CODES: Mapping[str, int] = {"fp16": 5, "fp32": 6, "bf16": 15}
"""``torch.dtype`` as ExecuTorch's ``ScalarType`` numbers it."""


def causal_lm(
    model: PreTrainedModel,
    config: ExportConfig,
    *,
    max_seq_len: int,
    max_prefill_len: int,
    heads: int,
    head_dim: int,
    rewinds: bool,
) -> dict[str, Any]:
    """The constant methods of a decoder-only language model.

    ``get_max_seq_len`` is what one call takes, by which ExecuTorch's ``TextLLMRunner`` cuts a prompt, and
    ``get_max_context_len`` what the cache holds.
    A token id that the model does not define has no method, nor have heads in a model that does not attend.
    ``supports_rewind`` says whether a sequence can be taken up again at an earlier position: a ring has overwritten it, and a
    recurrence has gone on.

    Args:
        max_seq_len: Positions of the cache.
        max_prefill_len: Tokens of one call at most.
        heads: Key-value heads of the cache; 0 without attention.
        head_dim: Width of a key; 0 without attention.
        rewinds: Whether every layer keeps every position.
    """
    text = model.config.get_text_config()
    generation = getattr(model, "generation_config", None)  # only models with an output layer have one
    constants: dict[str, Any] = {
        "get_max_seq_len": max_prefill_len,
        "get_max_context_len": max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "get_dtype": DTYPE_CODES[config.dtype],
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": config.use_custom_sdpa,
        "enable_dynamic_shape": config.dynamic_shapes,
        "supports_rewind": rewinds,
    }
    if heads:
        constants |= {"get_n_kv_heads": heads, "get_head_dim": head_dim}
    return constants | _special_tokens(text, generation)


def masked_lm(model: PreTrainedModel, config: ExportConfig, *, max_seq_len: int) -> dict[str, Any]:
    """The constant methods of an encoder of text: the longest text of a call, in tokens, and whether it may be shorter."""
    text = model.config.get_text_config()
    constants = {
        "get_max_seq_len": max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "get_dtype": DTYPE_CODES[config.dtype],
        "enable_dynamic_shape": config.dynamic_shapes,
    }
    if text.pad_token_id is not None:
        constants["get_pad_id"] = text.pad_token_id
    return constants | _special_tokens(text, None)


def seq2seq_lm(
    model: PreTrainedModel,
    config: ExportConfig,
    *,
    max_seq_len: int,
    max_prefill_len: int,
    layers: int,
    heads: int,
    head_dim: int,
    prompt: list[int],
) -> dict[str, Any]:
    """The constant methods of a decoder that reads an encoder, as those of ``causal_lm``.

    ``get_decoder_prompt_ids`` is what its text begins with; the first of them is ``get_decoder_start_token_id``.

    Args:
        layers: Of the decoder.
        heads: Key-value heads of the cache.
        head_dim: Width of a key.
        prompt: As ``get_decoder_prompt_ids``.
    """
    text = model.config.get_text_config()
    constants: dict[str, Any] = {
        "get_max_seq_len": max_prefill_len,
        "get_max_context_len": max_seq_len,
        "get_vocab_size": model.config.vocab_size,
        "get_n_layers": layers,
        "get_n_kv_heads": heads,
        "get_head_dim": head_dim,
        "get_dtype": DTYPE_CODES[config.dtype],
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": config.use_custom_sdpa,
        "enable_dynamic_shape": config.dynamic_shapes,
        "supports_rewind": True,
        "get_decoder_start_token_id": prompt[0],
        "get_decoder_prompt_ids": prompt,
    }
    if model.config.pad_token_id is not None:
        constants["get_pad_id"] = model.config.pad_token_id
    return constants | _special_tokens(text, model.generation_config)


def ctc(model: PreTrainedModel, config: ExportConfig) -> dict[str, Any]:
    """The constant methods of a model with CTC; ``get_blank_id`` is the class of a frame in which no letter begins."""
    return {
        "get_vocab_size": model.config.vocab_size,
        "get_n_layers": model.config.num_hidden_layers,
        "get_blank_id": model.config.pad_token_id,
        "get_dtype": DTYPE_CODES[config.dtype],
    }


def source(*, longest: int, shortest: int, dynamic: bool, sampling_rate: int | None, features: int | None) -> dict[str, Any]:
    """The constant methods of what an encoder reads, counted in tokens of a text, in samples or frames of a sound.

    Args:
        longest: Of a source.
        shortest: Of a source.
        dynamic: Whether every length between is taken; otherwise the longest only.
        sampling_rate: Samples a second of a sound; ``None`` of a text.
        features: Numbers of a frame; ``None`` of tokens and samples.
    """
    constants: dict[str, Any] = {
        "get_max_source_len": longest,
        "get_min_source_len": shortest,
        "enable_dynamic_source": dynamic,
    }
    if sampling_rate is not None:
        constants["get_sampling_rate"] = sampling_rate
    if features is not None:
        constants["get_feature_size"] = features
    return constants


def image_classification(model: PreTrainedModel, config: ExportConfig, *, height: int, width: int) -> dict[str, Any]:
    """The constant methods of an image classifier: the one size of its images, in pixels, and what it tells apart."""
    return {
        "get_image_height": height,
        "get_image_width": width,
        "get_num_channels": num_channels(model.config),
        "get_num_labels": model.config.num_labels,
        "get_dtype": DTYPE_CODES[config.dtype],
        "enable_dynamic_shape": False,
    }


def multimodal(decoder: Mapping[str, Any], encoder: Any, *, features: int) -> dict[str, Any]:
    """The constant methods of a model that also looks or listens: those of its decoder, the size of what its encoder takes, the
    token that an embedding takes the place of, and how many embeddings an image or sound becomes.

    Args:
        decoder: As ``causal_lm`` makes them.
        encoder: An ``exporters.wrappers.modalities.ModalityEncoder``.
        features: Embeddings of one image or sound.
    """
    name = encoder.modality
    return {**decoder, **encoder.constants(), f"get_{name}_token_id": encoder.token_id, f"get_{name}_seq_len": features}


def object_detection(model: PreTrainedModel, config: ExportConfig, *, height: int, width: int) -> dict[str, Any]:
    """The constant methods of a detector: those of an image classifier, and how many queries it has."""
    queries = getattr(model.config, "num_queries", None) or model.config.num_detection_tokens
    return image_classification(model, config, height=height, width=width) | {"get_num_queries": queries}


_TOKENS: Mapping[str, type] = {"get_bos_id": int, "get_eos_ids": list}
"""What a program says of the tokens that begin and end a text, and of what type: nothing in its graph depends on it."""
_FIXED = (
    "get_max_seq_len", "get_max_context_len", "get_vocab_size", "get_n_layers", "get_n_kv_heads", "get_head_dim", "get_dtype",
    "use_kv_cache", "use_sdpa_with_kv_cache", "enable_dynamic_shape", "supports_rewind", "get_pad_id", "get_blank_id",
    "get_decoder_start_token_id", "get_decoder_prompt_ids", "get_max_source_len", "get_min_source_len", "enable_dynamic_source",
    "get_sampling_rate", "get_feature_size", "get_image_height", "get_image_width", "get_num_channels", "get_num_labels",
    "get_num_queries",
)  # fmt: skip
"""What a program says of its model and its graph, where it says it."""


def with_metadata(constants: Mapping[str, Any], metadata: Mapping[str, Any], methods: Collection[str]) -> dict[str, Any]:
    """The constant methods of a program, and those that a user adds or puts in their place (``ExportConfig.metadata``).

    Args:
        constants: Those that the exporter makes.
        metadata: Those of the user.
        methods: The program's entry points.

    Raises:
        ExportError: a name is an entry point's, or a value contradicts the model, or is of another type than runners read.
    """
    for name, value in metadata.items():
        if name in methods:
            raise ExportError(f"metadata {name}: {name} is a method that the program has; give the constant another name.")
        kind = _TOKENS.get(name)
        if kind is not None:
            ids = value if isinstance(value, list) else [value]
            if type(value) is not kind or not all(type(item) is int and item >= 0 for item in ids):
                example = "[2, 3]" if kind is list else "1"
                raise ExportError(f"metadata {name} is {value!r}; runners read token ids there, such as {example}.")
        elif name in constants and (constants[name] != value or type(constants[name]) is not type(value)):
            raise ExportError(
                f"metadata {name} is {value!r}, and the program's is {constants[name]!r}, which its model and its options fix; "
                "leave it out."
            )
        elif name in _FIXED and name not in constants:
            raise ExportError(f"metadata {name}: the program has none, as its model has nothing of the kind; leave it out.")
    return {**constants, **metadata}


def num_channels(configuration: Any) -> int:
    """Channels of a model's images; RT-DETR leaves them to its backbone."""
    named: int | None = getattr(configuration, "num_channels", None)
    return named if named is not None else int(configuration.backbone_config.num_channels)


def _special_tokens(text: Any, generation: Any) -> dict[str, Any]:
    """The tokens that begin and end a text; the generation configuration has the first word."""
    bos, eos = (
        getattr(text, name, None) if getattr(generation, name, None) is None else getattr(generation, name)
        for name in ("bos_token_id", "eos_token_id")
    )
    constants: dict[str, Any] = {}
    if bos is not None:
        constants["get_bos_id"] = bos
    if eos is not None:
        constants["get_eos_ids"] = list(eos) if isinstance(eos, (list, tuple)) else [eos]
    return constants
