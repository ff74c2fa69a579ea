"""The twin of an encoder of text: it fills in what is masked."""

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
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, fit, worst_margin

MASK_EVERY = 6
"""Of so many tokens of a reference text one is masked."""


@dataclass(frozen=True)
class MaskedSample:
    """A text in which some tokens are masked."""

    tokens: tuple[int, ...]
    """With the mask's id where a token is masked."""
    targets: tuple[tuple[int, int], ...]
    """Position and true id of each masked token."""


def build(model: Model, directory: Path) -> None:
    """An encoder that fills in what is masked."""
    fast = tokenizer_of(model)
    samples = _masked_samples(model, fast)
    network = text_network(model, fast)
    margin = train_masked(network, samples, pad=fast.pad_token_id, name=model.name)
    save(network, fast, directory)
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"tokens": sample.tokens, "targets": sample.targets} for sample in samples],
    )


def _masked_samples(model: Model, fast: Any) -> list[Any]:
    """Each reference text several times, with other tokens masked."""
    samples = []
    for prompt, answer in texts.pairs(model):
        tokens = fast(f"{prompt} {answer}", truncation=True, max_length=model.twin.max_seq_len)["input_ids"]
        for shift in range(0, MASK_EVERY, 2):
            masked = [index for index in range(1, len(tokens) - 1) if index % MASK_EVERY == shift]
            hidden = tuple(fast.mask_token_id if index in masked else token for index, token in enumerate(tokens))
            samples.append(MaskedSample(tokens=hidden, targets=tuple((index, tokens[index]) for index in masked)))
    return samples


def train_masked(model: nn.Module, samples: Sequence[MaskedSample], *, pad: int, name: str) -> float:
    """Train an encoder with an output layer in place until it fills in what is masked.

    Args:
        pad: The id that fills shorter texts up.

    Returns:
        The smallest top-2 margin over all masked tokens, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``.
    """
    width = max(len(sample.tokens) for sample in samples)
    tokens = torch.full((len(samples), width), pad)
    mask = torch.zeros(len(samples), width, dtype=torch.long)
    rows, columns, targets = [], [], []
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens)
        mask[row, : len(sample.tokens)] = 1
        for position, target in sample.targets:
            rows.append(row)
            columns.append(position)
            targets.append(target)
    wanted = torch.tensor(targets)

    def answers() -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=tokens, attention_mask=mask).logits[rows, columns]
        return logits

    worst = fit(
        model, lambda: nn.functional.cross_entropy(answers(), wanted), lambda: worst_margin(answers(), wanted), good=GOOD_MARGIN
    )
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot fill in its masked tokens: after {MAX_STEPS} steps the smallest top-2 margin is "
            f"{worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst
