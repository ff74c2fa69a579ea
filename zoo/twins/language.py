"""The twin of a causal language model: it continues its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import texts
from zoo.twins.checkpoint import refer, save, text_network, tokenizer_of
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, fit

SHORTEST_CONTINUATION = 16
"""Tokens that a continuation must have at least, to be worth comparing."""


@dataclass(frozen=True)
class Sample:
    """One training sequence."""

    tokens: tuple[int, ...]
    prompt_length: int
    """Tokens that are given; what follows is the continuation that must be reproduced."""


def build(model: Model, directory: Path) -> None:
    """A causal language model that continues its prompts."""
    fast = tokenizer_of(model)
    samples = _samples(model, fast)
    network = text_network(model, fast)
    margin = train(network, samples, name=model.name)
    save(network, fast, directory)
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"tokens": sample.tokens, "prompt_length": sample.prompt_length} for sample in samples],
    )


def _samples(model: Model, fast: Any) -> list[Any]:
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


def margins(model: nn.Module, sample: Sample) -> torch.Tensor:
    """By how much each reference token of the continuation leads the best other token, in logits: [n].

    A token that is not the greedy choice has a negative margin. Greedy decoding reproduces the continuation if and only
    if every margin is positive, because each position then sees the reference tokens before it.
    """
    tokens = torch.tensor([sample.tokens])
    with torch.no_grad():
        logits = model(tokens, use_cache=False).logits[0, sample.prompt_length - 1 : -1]
    targets = tokens[0, sample.prompt_length :, None]
    chosen = logits.gather(1, targets)[:, 0]
    margin: torch.Tensor = chosen - logits.scatter(1, targets, float("-inf")).amax(1)
    return margin


def train(model: nn.Module, samples: Sequence[Sample], *, name: str) -> float:
    """Train a causal language model in place on one thread; it is left in evaluation mode.

    Returns:
        The smallest top-2 margin over all continuations, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``: the twin would prove nothing.
    """
    width = max(len(sample.tokens) for sample in samples)
    tokens = torch.zeros(len(samples), width, dtype=torch.long)
    targets = torch.full((len(samples), width), -100)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens)
        targets[row, : len(sample.tokens)] = tokens[row, : len(sample.tokens)]

    def loss() -> torch.Tensor:
        logits = model(tokens, use_cache=False).logits
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())

    worst = fit(model, loss, lambda: min(float(margins(model, sample).min()) for sample in samples), good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot reproduce its continuations: after {MAX_STEPS} steps the smallest top-2 margin "
            f"is {worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst
