"""Builds checkpoint directories: a trained twin, or the published dimensions with seeded random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, unknown
from zoo.model import Model
from zoo.twins import images, texts, tokenizer

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
MASK_EVERY = 6
"""Of so many tokens of a reference text one is masked."""
SHORTEST_CONTINUATION = 16
"""Tokens that a continuation must have at least, to be worth comparing."""


def spec(model: Model) -> dict[str, Any]:
    """Everything of a row that determines its twin, as JSON values: a part of the cache key."""
    twin = model.twin
    return {
        "task": model.task,
        "model_type": twin.model_type,
        "seed": twin.seed,
        "max_seq_len": twin.max_seq_len,
        "image_size": twin.image_size,
        "add_bos": twin.add_bos,
        "config": dict(twin.config),
        "processor": dict(model.processor),
        "prompts": [prompt.text for prompt in model.reference_prompts] if twin.image_size else texts.pairs(model),
    }


def _configuration(model: Model, dimensions: Mapping[str, Any], token_ids: Mapping[str, Any]) -> Any:
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


def _toy_dimensions(model: Model) -> dict[str, Any]:
    """``TOY`` where the configuration class knows the name, under the names of the row."""
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    default = CONFIG_MAPPING[model_type]()
    named = {default.attribute_map.get(name, name) for name in model.twin.config}
    known = {*default.to_dict(), *default.attribute_map}
    toy = {
        name: value
        for name, value in TOY.items()
        if name in known
        and getattr(default, name, None) is not None
        and default.attribute_map.get(name, name) not in named
        # Pyramids of images count stages and widths in lists of their own.
        and not (model.twin.image_size is not None and name in default.attribute_map)
    }
    if model.twin.image_size is not None and hasattr(default, "image_size"):
        toy["image_size"] = model.twin.image_size
    return toy | dict(model.twin.config)


def _tokenizer(model: Model) -> Any:
    own = tuple(f"{prompt} {answer}" for prompt, answer in texts.pairs(model))
    encoder = model.wrapper == "MaskedLMExportableModule"
    return tokenizer.train((*texts.corpus(), *own), add_bos=model.twin.add_bos, encoder=encoder)


def _token_ids(fast: Any) -> dict[str, Any]:
    return {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id}


def _samples(model: Model, fast: Any) -> list[Any]:
    from zoo.twins.trainer import Sample

    limit = model.twin.max_seq_len
    samples = []
    for prompt, answer in texts.pairs(model):
        head = fast(prompt)["input_ids"]
        tail = fast(" " + answer, add_special_tokens=False)["input_ids"]
        tokens = (*head, *tail, fast.eos_token_id)[:limit]
        if len(tokens) - len(head) < SHORTEST_CONTINUATION:
            raise ZooError(
                f"the prompt {prompt!r} of {model.name!r} leaves only {len(tokens) - len(head)} of {limit} tokens for a "
                f"continuation; {SHORTEST_CONTINUATION} are needed. Shorten it, or raise Twin(max_seq_len=...)."
            )
        samples.append(Sample(tokens=tokens, prompt_length=len(head)))
    if all(len(sample.tokens) < limit for sample in samples):
        raise ZooError(
            f"no reference text of {model.name!r} fills {limit} tokens, so the end of the cache would go untested. "
            "Give a prompt a longer continuation, or lower Twin(max_seq_len=...)."
        )
    return samples


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()


def build(model: Model, directory: Path) -> None:
    """Train the twin of ``model`` and save it in ``directory``.

    Beside what ``save_pretrained`` writes there is ``reference.json``: what the model is asked and what it learned to answer
    (token ids of each prompt with its continuation, of each text with what is masked, the images and their labels), and the
    smallest margin.

    Raises:
        ZooError: the row is wrong, or the twin cannot learn its references (``zoo.twins.trainer.MARGIN``).
    """
    import torch

    _quiet()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        if model.twin.image_size is not None:
            _build_classifier(model, directory)
        elif model.task == "fill-mask":
            _build_masked(model, directory)
        elif model.task == "feature-extraction":
            _build_embedding(model, directory)
        else:
            _build_language_model(model, directory)


def _build_language_model(model: Model, directory: Path) -> None:
    """A causal language model that continues its prompts."""
    from zoo.twins.trainer import train

    fast = _tokenizer(model)
    samples = _samples(model, fast)
    network = _text_network(model, fast)
    margin = train(network, samples, name=model.name)
    _save(network, fast, directory)
    _refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"tokens": sample.tokens, "prompt_length": sample.prompt_length} for sample in samples],
    )


def _build_embedding(model: Model, directory: Path) -> None:
    """A model that brings questions next to the passages that answer them."""
    from zoo.twins.trainer import train_embeddings

    fast = _tokenizer(model)
    pairs = texts.embedded(model, fast, model.twin.max_seq_len)
    network = _text_network(model, fast)
    pooling = texts.MEAN if model.wrapper == "MaskedLMExportableModule" else texts.LAST
    margin = train_embeddings(network, *zip(*pairs, strict=True), pooling=pooling, name=model.name)
    _save(network, fast, directory)
    _refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"question": question, "passage": passage} for question, passage in pairs],
    )


def _text_network(model: Model, fast: Any) -> Any:
    """A network of toy dimensions with the vocabulary of a tokenizer."""
    configuration = _configuration(model, {**_toy_dimensions(model), "vocab_size": len(fast)}, _token_ids(fast))
    network = _network(model, configuration)
    if model.wrapper == "CausalLMExportableModule":
        _check_windows(model, configuration)
    return network


def _refer(directory: Path, **values: Any) -> None:
    (directory / REFERENCE).write_text(json.dumps(values))


def _masked_samples(model: Model, fast: Any) -> list[Any]:
    """Each reference text several times, with other tokens masked."""
    from zoo.twins.trainer import MaskedSample

    samples = []
    for prompt, answer in texts.pairs(model):
        tokens = fast(f"{prompt} {answer}", truncation=True, max_length=model.twin.max_seq_len)["input_ids"]
        for shift in range(0, MASK_EVERY, 2):
            masked = [index for index in range(1, len(tokens) - 1) if index % MASK_EVERY == shift]
            hidden = tuple(fast.mask_token_id if index in masked else token for index, token in enumerate(tokens))
            samples.append(MaskedSample(tokens=hidden, targets=tuple((index, tokens[index]) for index in masked)))
    return samples


def _build_masked(model: Model, directory: Path) -> None:
    """An encoder that fills in what is masked."""
    from zoo.twins.trainer import train_masked

    fast = _tokenizer(model)
    samples = _masked_samples(model, fast)
    network = _text_network(model, fast)
    margin = train_masked(network, samples, pad=fast.pad_token_id, name=model.name)
    _save(network, fast, directory)
    _refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"tokens": sample.tokens, "targets": sample.targets} for sample in samples],
    )


def _build_classifier(model: Model, directory: Path) -> None:
    """A model that tells the reference images apart."""
    import torch

    from zoo.twins.trainer import tells_apart, train_classifier

    processor = _image_processor(model, full=False)
    configuration = _configuration(model, {**_toy_dimensions(model), **_labels(model)}, {})
    network = _network(model, configuration)
    shown = images.references(model, int(model.twin.image_size or 0))
    pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for _, image in shown])
    if not tells_apart(network, pixels):
        _spread(network)
    names = [prompt.text for prompt in model.reference_prompts]
    margin = train_classifier(network, pixels, torch.tensor([names.index(name) for name, _ in shown]), name=model.name)
    network.save_pretrained(directory)
    processor.save_pretrained(directory)
    for index, (_, image) in enumerate(shown):
        image.save(directory / f"reference-{index}.png")
    samples = [{"image": f"reference-{index}.png", "label": name} for index, (name, _) in enumerate(shown)]
    _refer(directory, smallest_margin=margin, samples=samples)


def _spread(network: Any) -> None:
    """Start convolutions as deep networks need it: transformers starts them so small that batch norm's epsilon swallows what
    they answer, and nothing is learned."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)


def _labels(model: Model) -> dict[str, Any]:
    """The classes of a twin: what the reference images show."""
    names = [prompt.text for prompt in model.reference_prompts]
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def _image_processor(model: Model, *, full: bool) -> Any:
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
        values["size"] = {"shortest_edge": size} if "shortest_edge" in own.size else square
        if own.crop_size is not None:
            values["crop_size"] = square
    return getattr(transformers, found["pil"])(**values)


def _network(model: Model, configuration: Any) -> Any:
    """A transformers model of the task with fresh weights, in fp32."""
    import torch
    import transformers

    auto = {
        "text-generation": transformers.AutoModelForCausalLM,
        "fill-mask": transformers.AutoModelForMaskedLM,
        "feature-extraction": transformers.AutoModel,
        "image-classification": transformers.AutoModelForImageClassification,
    }[model.task]
    return auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)


def _save(network: Any, fast: Any, directory: Path) -> None:
    from transformers import GenerationConfig

    if network.can_generate():
        network.generation_config = GenerationConfig(**_token_ids(fast), do_sample=False)
    network.save_pretrained(directory)
    fast.save_pretrained(directory)


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


def build_full(model: Model, directory: Path) -> None:
    """Save the published dimensions with seeded random weights and the twin's tokenizer in ``directory``."""
    import torch

    _quiet()
    fast = None if model.twin.image_size else _tokenizer(model)
    configuration = _configuration(model, model.full, {} if fast is None else _token_ids(fast))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        network = _network(model, configuration)
    if fast is None:
        network.save_pretrained(directory)
        _image_processor(model, full=True).save_pretrained(directory)
    else:
        _save(network, fast, directory)
