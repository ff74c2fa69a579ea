"""The twin of a language model that also looks at images: it answers about its images, and about no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.placeholders import placeholder
from zoo.twins import images, texts
from zoo.twins.checkpoint import (
    configuration_of,
    image_processor,
    network_of,
    refer,
    save,
    token_ids,
    tokenizer_of,
    toy_dimensions,
)
from zoo.twins.language import SHORTEST_CONTINUATION
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, fit, worst_margin

CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}Question: {{ part['text'] }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} Answer:{% endif %}"
)
"""How a twin is asked."""

PLACEHOLDER_OPTIONS = ("image_token_id", "image_token_index")
"""What configurations call the placeholder."""
TOKEN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "<start_of_image>": ("boi_token_index",),
    "<end_of_image>": ("eoi_token_index",),
    "<|vision_start|>": ("vision_start_token_id",),
    "<|vision_end|>": ("vision_end_token_id",),
}
"""What they call the tokens around it."""


@dataclass(frozen=True)
class Sample:
    """A question about images, with its answer."""

    tokens: tuple[int, ...]
    """With the placeholders of the images."""
    prompt_length: int
    inputs: tuple[Mapping[str, Tensor], ...]
    """What the image processor makes of each image: a row of what the model is given."""


def prepare(processor: Any, image: Any) -> dict[str, Tensor]:
    """What a model is given of one image: each entry a row, [1, ...].

    Args:
        processor: An image processor of transformers.
        image: A PIL image.
    """
    made = processor(image, return_tensors="pt")
    pixels: Tensor = made["pixel_values"]
    if "image_grid_thw" in made:  # patches, flattened
        return {"pixel_values": pixels.unsqueeze(0), "image_grid_thw": made["image_grid_thw"]}
    return {"pixel_values": pixels.flatten(0, -4)[:1]}


def arguments(model: Any, placeholders: Tensor, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """What transformers' processors give a model beside the token ids.

    Args:
        model: A transformers model.
        placeholders: [texts, n] bool.
        inputs: As ``prepare`` makes them, those of several images one below the other.
    """
    given: dict[str, Any] = {
        name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()
    }
    kind = model.config.model_type
    if kind == "gemma3":
        given["token_type_ids"] = placeholders.long()
    if kind in ("idefics3", "smolvlm"):
        given["pixel_values"] = given["pixel_values"].unsqueeze(0)
    if "image_grid_thw" in given:
        given["pixel_values"] = given["pixel_values"].flatten(0, 1)
        given["mm_token_type_ids"] = placeholders.int()
    return given


def build(model: Model, directory: Path) -> None:
    """A model that answers about its images."""
    fast = tokenizer_of(model)
    fast.chat_template = CHAT_TEMPLATE
    processor = image_processor(model, full=False)
    network = network_with(model, fast, toy_dimensions(model))
    size = int(model.twin.image_size or 0)
    drawn = {name: images.draw(name, size) for prompt in model.reference_prompts for name in prompt.shown}
    seen = {name: prepare(processor, image) for name, image in drawn.items()}
    embeddings = count_embeddings(network, next(iter(seen.values())))
    samples = _samples(model, fast, seen, embeddings)
    margin = train(network, samples, pad=fast.pad_token_id, name=model.name)
    save(network, fast, directory)
    processor.save_pretrained(directory)
    files = {name: f"reference-{index}.png" for index, name in enumerate(drawn)}
    for name, image in drawn.items():
        image.save(directory / files[name])
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        embeddings=embeddings,
        samples=[
            {
                "tokens": sample.tokens,
                "prompt_length": sample.prompt_length,
                "images": [files[name] for name in prompt.shown],
            }
            for sample, prompt in zip(samples, model.reference_prompts, strict=True)
        ],
    )


def network_with(model: Model, fast: Any, dimensions: Mapping[str, Any]) -> Any:
    """A network with the vocabulary of a tokenizer and the placeholders of its architecture."""
    known = placeholder(model.twin.model_type)
    values = dict(dimensions)
    values["text_config"] = {"vocab_size": len(fast), **values.get("text_config", {}), **token_ids(fast)}
    from transformers import CONFIG_MAPPING

    default = CONFIG_MAPPING[model.twin.model_type]().to_dict()
    for token in known.tokens:
        for name in TOKEN_OPTIONS.get(token, PLACEHOLDER_OPTIONS if token == known.token else ()):
            if name in default:
                values[name] = fast.convert_tokens_to_ids(token)
    return network_of(model, configuration_of(model, values, {}))


def count_embeddings(network: Any, inputs: Mapping[str, Tensor]) -> int:
    """Embeddings that one image becomes; ``inputs`` as ``prepare`` makes them."""
    return len(features(network, inputs))


@torch.no_grad()
def features(network: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """The embeddings [tokens, hidden] that transformers makes of one image; ``inputs`` as ``prepare`` makes them."""
    given = arguments(network, torch.zeros(1, 0, dtype=torch.bool), inputs)
    given.pop("token_type_ids", None)
    given.pop("mm_token_type_ids", None)
    found: Any = network.get_image_features(**given).pooler_output
    return torch.cat(list(found))


def question(fast: Any, text: str) -> str:
    """A prompt, its placeholders expanded, as the tokenizer's chat template puts it."""
    asked: str = fast.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": text}]}], tokenize=False, add_generation_prompt=True
    )
    return asked


def _samples(model: Model, fast: Any, seen: Mapping[str, Mapping[str, Tensor]], embeddings: int) -> list[Sample]:
    limit = model.twin.max_seq_len
    known = placeholder(model.twin.model_type)
    samples = []
    for prompt in model.reference_prompts:
        if prompt.text.count(known.marker) != len(prompt.shown):
            raise ZooError(
                f"the prompt {prompt.text!r} of {model.name!r} has {prompt.text.count(known.marker)} markers {known.marker}, "
                f"and {len(prompt.shown)} images are named; name one for each."
            )
        head = fast(question(fast, known.expand(prompt.text, embeddings)))["input_ids"]
        tail = fast(" " + texts.continuation(prompt), add_special_tokens=False)["input_ids"]
        tokens = (*head, *tail, fast.eos_token_id)[:limit]
        if len(tokens) - len(head) < SHORTEST_CONTINUATION:
            raise ZooError(
                f"the prompt {prompt.text!r} of {model.name!r} leaves only {len(tokens) - len(head)} of {limit} tokens for an "
                f"answer; {SHORTEST_CONTINUATION} are needed. Shorten it, or raise Twin(max_seq_len=...)."
            )
        samples.append(Sample(tokens, len(head), tuple(seen[name] for name in prompt.shown)))
    if all(len(sample.tokens) < limit for sample in samples):
        raise ZooError(
            f"no reference text of {model.name!r} fills {limit} tokens, so the end of the cache would go untested. Give a "
            "prompt a longer continuation, or lower Twin(max_seq_len=...)."
        )
    return samples


def train(model: nn.Module, samples: Sequence[Sample], *, pad: int, name: str) -> float:
    """Train in place until every answer is given greedily and with a clear margin.

    Args:
        pad: The id that fills shorter texts up.

    Returns:
        The smallest top-2 margin over all answers, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``.
    """
    network: Any = model
    width = max(len(sample.tokens) for sample in samples)
    tokens = torch.full((len(samples), width), pad)
    rows: list[int] = []
    columns: list[int] = []
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens)
        rows += [row] * (len(sample.tokens) - sample.prompt_length)
        columns += range(sample.prompt_length, len(sample.tokens))
    targets = tokens[rows, columns]
    shown = [inputs for sample in samples for inputs in sample.inputs]
    inputs = {key: torch.cat([each[key] for each in shown]) for key in shown[0]}
    given = arguments(network, tokens == placeholder_id(network.config), inputs)

    def answers() -> Tensor:
        logits: Tensor = network(input_ids=tokens, attention_mask=(tokens != pad).long(), use_cache=False, **given).logits
        return logits[rows, [column - 1 for column in columns]]

    worst = fit(
        model,
        lambda: nn.functional.cross_entropy(answers(), targets),
        lambda: worst_margin(answers(), targets),
        good=GOOD_MARGIN,
    )
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot give its answers: after {MAX_STEPS} steps the smallest top-2 margin is {worst:.2f}, "
            f"and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst


def placeholder_id(configuration: Any) -> int:
    """The token of a transformers configuration that stands for an embedding of an image."""
    for name in PLACEHOLDER_OPTIONS:
        if getattr(configuration, name, None) is not None:
            return int(getattr(configuration, name))
    raise ZooError(f"a {configuration.model_type} has no placeholder for images.")
