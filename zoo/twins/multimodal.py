"""The twin of a language model that also looks at images or listens: it answers about them, and about none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.model import IMAGE_TASKS, SOUND_TASKS, Model
from zoo.placeholders import placeholder
from zoo.twins import images, sounds, texts
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
from zoo.twins.media import (
    PLACEHOLDER_OPTIONS,
    GraniteSpeechFeatures,
    Inputs,
    arguments,
    count_embeddings,
    join,
    placeholder_id,
    prepare,
)
from zoo.twins.speech import feature_extractor
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, calibrate, fit, worst_margin

TWIN_FRAMES = 60
"""Pairs of frames of a sound for a twin of Granite Speech: 1.2 seconds."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}Question: {{ part['text'] }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} Answer:{% endif %}"
)
"""How a twin is asked."""

TOKEN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "<start_of_image>": ("boi_token_index",),
    "<end_of_image>": ("eoi_token_index",),
    "<|vision_start|>": ("vision_start_token_id",),
    "<|vision_end|>": ("vision_end_token_id",),
}
"""What they call the tokens around it."""


@dataclass(frozen=True)
class Sample:
    """A question about images or sounds, with its answer."""

    tokens: tuple[int, ...]
    """With the placeholders of what is shown."""
    prompt_length: int
    inputs: tuple[Inputs, ...]
    """What the processor makes of each image or sound."""


def build(model: Model, directory: Path) -> None:
    """A model that answers about its images or sounds."""
    fast = tokenizer_of(model)
    fast.chat_template = CHAT_TEMPLATE
    network = network_with(model, fast, toy_dimensions(model))
    processor = processor_of(model, network.config, full=False)
    names = list(dict.fromkeys(name for prompt in model.reference_prompts for name in prompt.shown))
    items = {name: draw(model, name) for name in names}
    seen = {name: prepare(processor, item) for name, item in items.items()}
    counts = {name: count_embeddings(network, inputs) for name, inputs in seen.items()}
    samples = _samples(model, fast, seen, counts)
    margin = train(network, samples, pad=fast.pad_token_id, name=model.name)
    save(network, fast, directory)
    processor.save_pretrained(directory)
    files = dict(zip(names, names, strict=True))
    if model.task in IMAGE_TASKS:
        files = {name: f"reference-{index}.png" for index, name in enumerate(names)}
        for name, image in items.items():
            image.save(directory / files[name])
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[
            {"tokens": sample.tokens, "prompt_length": sample.prompt_length, "shown": [files[name] for name in prompt.shown]}
            for sample, prompt in zip(samples, model.reference_prompts, strict=True)
        ],
    )


def draw(model: Model, name: str, size: int | None = None) -> Any:
    """The image, of ``size`` pixels or the twin's, or the sound called ``name``."""
    return sounds.draw(name) if model.task in SOUND_TASKS else images.draw(name, size or model.twin.image_size or 0)


def processor_of(model: Model, configuration: Any, *, full: bool) -> Any:
    """The model's own image processor or feature extractor."""
    if model.twin.model_type == "granite_speech":
        return GraniteSpeechFeatures(frames=model.processor["frames"] if full else TWIN_FRAMES)
    if model.task in SOUND_TASKS:
        return feature_extractor(model, configuration.audio_config)
    return image_processor(model, full=full)


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


def question(fast: Any, text: str) -> str:
    """A prompt, its placeholders expanded, as the tokenizer's chat template puts it."""
    asked: str = fast.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": text}]}], tokenize=False, add_generation_prompt=True
    )
    return asked


def _samples(model: Model, fast: Any, seen: Mapping[str, Inputs], counts: Mapping[str, int]) -> list[Sample]:
    limit = model.twin.max_seq_len
    known = placeholder(model.twin.model_type)
    samples = []
    for prompt in model.reference_prompts:
        head = fast(question(fast, known.expand(prompt.text, [counts[name] for name in prompt.shown])))["input_ids"]
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
    inputs = join([each for sample in samples for each in sample.inputs])
    given = arguments(network, tokens == placeholder_id(network.config), inputs)

    def answers() -> Tensor:
        logits: Tensor = network(input_ids=tokens, attention_mask=(tokens != pad).long(), use_cache=False, **given).logits
        return logits[rows, [column - 1 for column in columns]]

    def margin() -> float:
        calibrate(model, answers)
        return worst_margin(answers(), targets)

    worst = fit(model, lambda: nn.functional.cross_entropy(answers(), targets), margin, good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot give its answers: after {MAX_STEPS} steps the smallest top-2 margin is {worst:.2f}, "
            f"and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst
