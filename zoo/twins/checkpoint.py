"""What every twin's checkpoint is made of: configuration, network, tokenizer, image processor, and the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, unknown
from zoo.model import Model
from zoo.twins import texts, tokenizer

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
    """``TOY`` where the configuration class knows the name, under the names of the row."""
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    default = CONFIG_MAPPING[model_type]()
    named = {default.attribute_map.get(name, name) for name in model.twin.config}
    known = {*default.to_dict(), *default.attribute_map}
    toy: dict[str, Any] = {
        name: value
        for name, value in TOY.items()
        if name in known
        and getattr(default, name, None) is not None
        and default.attribute_map.get(name, name) not in named
        # Pyramids of images count stages and widths in lists of their own.
        and not (model.twin.image_size is not None and name in default.attribute_map)
    }
    if model.twin.image_size is not None and hasattr(default, "image_size"):
        side = model.twin.image_size
        toy["image_size"] = [side, side] if isinstance(default.image_size, (list, tuple)) else side
    return toy | dict(model.twin.config)


def network_of(model: Model, configuration: Any) -> Any:
    """A transformers model of the task with fresh weights, in fp32."""
    import torch
    import transformers

    auto = {
        "text-generation": transformers.AutoModelForCausalLM,
        "fill-mask": transformers.AutoModelForMaskedLM,
        "feature-extraction": transformers.AutoModel,
        "image-classification": transformers.AutoModelForImageClassification,
        "object-detection": transformers.AutoModelForObjectDetection,
    }[model.task]
    return auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)


def tokenizer_of(model: Model) -> Any:
    own = tuple(f"{prompt} {answer}" for prompt, answer in texts.pairs(model))
    encoder = model.wrapper == "MaskedLMExportableModule"
    return tokenizer.train((*texts.corpus(), *own), add_bos=model.twin.add_bos, encoder=encoder)


def token_ids(fast: Any) -> dict[str, Any]:
    return {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id}


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
        size = model.twin.image_size
        own = getattr(transformers, found["pil"])(**values)
        square = {"height": size, "width": size}
        # Beside a longest edge, as detectors have it, the size would depend on the picture, and a program has one size.
        edge = "shortest_edge" in own.size and "longest_edge" not in own.size
        values["size"] = {"shortest_edge": size} if edge else square
        if own.crop_size is not None:
            values["crop_size"] = square
    return getattr(transformers, found["pil"])(**values)


def save(network: Any, fast: Any, directory: Path) -> None:
    from transformers import GenerationConfig

    if network.can_generate():
        network.generation_config = GenerationConfig(**token_ids(fast), do_sample=False)
    network.save_pretrained(directory)
    fast.save_pretrained(directory)


def refer(directory: Path, **values: Any) -> None:
    (directory / REFERENCE).write_text(json.dumps(values))
