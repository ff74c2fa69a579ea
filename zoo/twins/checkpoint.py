"""What every twin's checkpoint is made of: configuration, network, tokenizer, image processor, and the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, unknown
from zoo.model import Model
from zoo.placeholders import PLACEHOLDERS
from zoo.twins import letters, texts, tokenizer

TOY: Mapping[str, int] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "sliding_window": 16,
}
"""Dimensions of a twin that its row does not name, where its configuration class has them and sets them. Every width is a
multiple of 32, so that group sizes apply; the window is crossed by the tests."""

UNDECLARED = ("head_dim", "num_labels")
"""Options that models of transformers 5.23.0 read although their configuration class does not declare them (Qwen3-MoE), and one
that every class takes without declaring it."""

REFERENCE = "reference.json"


def configuration_of(model: Model, dimensions: Mapping[str, Any], token_ids: Mapping[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in dimensions.items()}
    try:
        configuration = CONFIG_MAPPING[model_type](**values, **token_ids)
    except (TypeError, ValueError) as error:
        raise ZooError(f"model {model.name!r}: {model_type} does not accept its dimensions: {error}") from error
    default = CONFIG_MAPPING[model_type]()
    ignored = sorted(name for name in values if name not in {*default.to_dict(), *default.attribute_map, *UNDECLARED})
    if ignored:
        raise ZooError(
            f"model {model.name!r}: {model_type} has no option {', '.join(ignored)}; correct the row in "
            f"zoo/models/{model.family}.py."
        )
    return configuration


def toy_dimensions(model: Model) -> dict[str, Any]:
    """``TOY`` where the configuration class knows the name, under the names of the row; the same in the configurations of the
    parts that the row names, such as ``text_config``."""
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    default = CONFIG_MAPPING[model_type]()
    dimensions = _toy(default, model.twin.config, model.twin.image_size)
    for name, given in model.twin.config.items():
        if name.endswith("_config") and isinstance(given, Mapping):
            part = getattr(default, name)
            if given.get("model_type") not in (None, part.model_type):
                part = CONFIG_MAPPING[given["model_type"]]()
            size = model.twin.image_size if name == "vision_config" else None
            dimensions[name] = _toy(part, given, size)
    return dimensions


def _toy(default: Any, given: Mapping[str, Any], image_size: int | None) -> dict[str, Any]:
    """``given``, and ``TOY`` where it is silent.

    Args:
        default: A transformers configuration.
        image_size: Height and width of images, in pixels.
    """
    named = {default.attribute_map.get(name, name) for name in given}
    known = {*default.to_dict(), *default.attribute_map}
    toy: dict[str, Any] = {
        name: value
        for name, value in TOY.items()
        if name in known
        and getattr(default, name, None) is not None
        and default.attribute_map.get(name, name) not in named
        # Pyramids of images count stages and widths in lists of their own.
        and not (image_size is not None and name in default.attribute_map)
    }
    if image_size is not None and hasattr(default, "image_size"):
        toy["image_size"] = [image_size, image_size] if isinstance(default.image_size, (list, tuple)) else image_size
    return toy | dict(given)


def network_of(model: Model, configuration: Any) -> Any:
    """A transformers model of the task with fresh weights, in fp32."""
    import torch
    import transformers

    auto = {
        "text-generation": transformers.AutoModelForCausalLM,
        "fill-mask": transformers.AutoModelForMaskedLM,
        "feature-extraction": transformers.AutoModel,
        "image-classification": transformers.AutoModelForImageClassification,
        "image-text-to-text": transformers.AutoModelForImageTextToText,
        "audio-text-to-text": transformers.AutoModelForMultimodalLM,
        "text2text-generation": transformers.AutoModelForSeq2SeqLM,
        "automatic-speech-recognition": transformers.AutoModelForCTC
        if model.wrapper == "CTCExportableModule"
        else transformers.AutoModelForSpeechSeq2Seq,
        "object-detection": transformers.AutoModelForObjectDetection,
    }[model.task]
    return auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)


def tokenizer_of(model: Model) -> Any:
    if model.wrapper == "CTCExportableModule":
        return letters.coder()
    own = tuple(f"{prompt} {answer}" for prompt, answer in texts.pairs(model))
    encoder = model.wrapper in ("MaskedLMExportableModule", "Seq2SeqLMExportableModule")
    special = PLACEHOLDERS[model.twin.model_type].tokens if model.twin.model_type in PLACEHOLDERS else ()
    return tokenizer.train((*texts.corpus(), *own), add_bos=model.twin.add_bos, encoder=encoder, special=special)


def token_ids(fast: Any) -> dict[str, Any]:
    return {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id}


def special_ids(model: Model, fast: Any) -> dict[str, Any]:
    """The special tokens of a configuration; with an encoder also the one that a decoder's text begins with: the special token
    that begins it in the published configuration, padding where none is declared (T5)."""
    from transformers import CONFIG_MAPPING

    ids = token_ids(fast)
    if model.wrapper != "Seq2SeqLMExportableModule":
        return ids
    default = CONFIG_MAPPING[model.twin.model_type]()
    start = getattr(default, "decoder_start_token_id", default.pad_token_id)
    # Whisper's is a token of its own; a twin has only these three.
    role = next((name for name in ("pad_token_id", "bos_token_id", "eos_token_id") if getattr(default, name) == start), None)
    return ids | {"decoder_start_token_id": ids[role or "bos_token_id"]}


def text_network(model: Model, fast: Any) -> Any:
    """A network of toy dimensions with the vocabulary of a tokenizer."""
    configuration = configuration_of(model, {**toy_dimensions(model), "vocab_size": len(fast)}, token_ids(fast))
    network = network_of(model, configuration)
    if model.wrapper == "CausalLMExportableModule":
        _check_windows(model, configuration)
    return network


def _check_windows(model: Model, configuration: Any) -> None:
    """Refuse a sliding window that no sequence of the twin would leave: it would go untested."""
    from transformers import DynamicCache

    for layer in DynamicCache(config=configuration).layers:
        window = getattr(layer, "sliding_window", None)
        if window is not None and 2 * window > model.twin.max_seq_len:
            raise ZooError(
                f"model {model.name!r}: a sliding window of {window} is never crossed in {model.twin.max_seq_len} tokens; "
                "name a smaller one in its row, such as Twin(..., sliding_window=16)."
            )


def labels(model: Model) -> dict[str, Any]:
    """The classes of a twin: what the reference images show."""
    names = [prompt.text for prompt in model.reference_prompts]
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def image_processor(model: Model, *, full: bool) -> Any:
    """The model's own image processor, with the published preprocessing; a twin's with the size of its own images.

    Raises:
        ZooError: transformers has none that runs without torchvision.
    """
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    found = IMAGE_PROCESSOR_MAPPING_NAMES.get(model.twin.model_type) or {}
    if "pil" not in found:
        raise ZooError(f"model {model.name!r}: transformers has no image processor of {model.twin.model_type} for PIL images.")
    values = dict(model.processor)
    if not full:
        size = model.twin.image_size or 0
        own = getattr(transformers, found["pil"])(**values)
        square = {"height": size, "width": size}
        # Beside a longest edge, as detectors have it, the size would depend on the picture, and a program has one size.
        edges = [name for name in ("shortest_edge", "longest_edge") if name in own.size]
        values["size"] = {edges[0]: size} if len(edges) == 1 else square
        if getattr(own, "merge_size", None) is not None:  # pixels of the smallest and the largest image
            values["size"] = {"shortest_edge": size**2, "longest_edge": size**2}
            values["patch_size"] = model.twin.config["vision_config"]["patch_size"]
        if getattr(own, "max_image_size", None) is not None:
            values["max_image_size"] = {"longest_edge": size}
        if own.crop_size is not None:
            values["crop_size"] = square
    return getattr(transformers, found["pil"])(**values)


def save(network: Any, fast: Any, directory: Path) -> None:
    from transformers import GenerationConfig

    if network.can_generate():
        start = getattr(network.config, "decoder_start_token_id", None) if network.config.is_encoder_decoder else None
        ids = token_ids(fast) | ({} if start is None else {"decoder_start_token_id": start})
        network.generation_config = GenerationConfig(**ids, do_sample=False)
    network.save_pretrained(directory)
    fast.save_pretrained(directory)


def refer(directory: Path, **values: Any) -> None:
    (directory / REFERENCE).write_text(json.dumps(values))
