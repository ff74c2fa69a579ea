"""The reference texts a twin is trained on. They were written for this project."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import Any

from zoo.model import Model, Prompt
from zoo.twins import sounds

MEAN, LAST = "mean", "last"
"""How the states of a text's tokens become one vector: an encoder's are averaged, of a decoder's the last one has seen all."""


def _paragraphs(name: str) -> tuple[str, ...]:
    text = (resources.files("zoo.twins") / "texts" / name).read_text(encoding="utf-8")
    return tuple(paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip())


@functools.cache
def answers() -> dict[str, str]:
    """Reference prompts and their answers."""
    pairs = (paragraph.partition("\n") for paragraph in _paragraphs("reference.txt"))
    return {prompt: answer for prompt, _, answer in pairs}


@functools.cache
def corpus() -> tuple[str, ...]:
    """Every shipped text, for training a tokenizer."""
    return (*(f"{prompt} {answer}" for prompt, answer in answers().items()), *_paragraphs("passages.txt"))


def continuation(prompt: Prompt) -> str:
    """What a twin learns to say after ``prompt``: its own continuation, the reference answer, or else a passage that is
    picked by the prompt's hash, so that a new prompt needs no new text."""
    if prompt.continuation is not None:
        return prompt.continuation
    known = answers().get(prompt.text) or sounds.WORDS.get(prompt.text)
    if known is not None:
        return known
    passages = _paragraphs("passages.txt")
    return passages[int(hashlib.sha256(prompt.text.encode()).hexdigest(), 16) % len(passages)]


def pairs(model: Model) -> tuple[tuple[str, str], ...]:
    """Prompt and continuation of each of the model's reference prompts."""
    return tuple((prompt.text, continuation(prompt)) for prompt in model.reference_prompts)


def embedded(model: Model, fast: Any, limit: int) -> list[tuple[list[int], list[int]]]:
    """Token ids of each question and of the passage that answers it, as the model is given them: with the token that ends a
    text, which a decoder's tokenizer does not add."""

    def ids(text: str) -> list[int]:
        found: list[int] = fast(text)["input_ids"]
        ended = found[: limit - 1] if found[-1] != fast.eos_token_id or len(found) > limit else found[:-1]
        return [*ended, fast.eos_token_id]

    return [(ids(question), ids(passage)) for question, passage in pairs(model)]
