"""Trains twins: a language model until it says its reference continuations greedily and with a clear margin, an encoder until
it fills in what is masked, an embedding model until each question lies nearest to its passage, a classifier until it tells its
images apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from zoo.errors import ZooError

MARGIN = 0.5
"""Smallest top-2 logit margin a twin may have on its continuations."""
GOOD_MARGIN = 2.0
"""Training stops once every margin is at least this: far enough above ``MARGIN`` to survive 4-bit weights."""
EMBEDDING_MARGIN = 0.2
"""Smallest difference of cosines between a question's own passage and any other."""
GOOD_EMBEDDING_MARGIN = 0.6
TEMPERATURE = 0.1
LEAST_CHANGE = 1e-4
"""Smallest difference of an untrained classifier's logits, between images, from which it learns."""
LEARNING_RATE = 3e-3
STEPS_A_ROUND = 20
MAX_STEPS = 400


@dataclass(frozen=True)
class Sample:
    """One training sequence."""

    tokens: tuple[int, ...]
    prompt_length: int
    """Tokens that are given; what follows is the continuation that must be reproduced."""


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

    worst = _fit(model, loss, lambda: min(float(margins(model, sample).min()) for sample in samples), good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot reproduce its continuations: after {MAX_STEPS} steps the smallest top-2 margin "
            f"is {worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst


@dataclass(frozen=True)
class MaskedSample:
    """A text in which some tokens are masked."""

    tokens: tuple[int, ...]
    """With the mask's id where a token is masked."""
    targets: tuple[tuple[int, int], ...]
    """Position and true id of each masked token."""


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

    worst = _fit(
        model, lambda: nn.functional.cross_entropy(answers(), wanted), lambda: _worst(answers(), wanted), good=GOOD_MARGIN
    )
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot fill in its masked tokens: after {MAX_STEPS} steps the smallest top-2 margin is "
            f"{worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more hidden_size or layers, or shorter prompts."
        )
    return worst


def train_classifier(model: nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor, *, name: str) -> float:
    """Train an image classifier in place until it tells its images apart. Its batch norm is left with the statistics of these
    images, as that of a published model is with those of its own.

    Args:
        pixel_values: [n, channels, height, width].
        labels: [n] int64.

    Returns:
        The smallest top-2 margin over all images, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``.
    """

    def answers() -> torch.Tensor:
        logits: torch.Tensor = model(pixel_values=pixel_values).logits
        return logits

    def margin() -> float:
        _calibrate(model, answers)
        return _worst(answers(), labels)

    worst = _fit(model, lambda: nn.functional.cross_entropy(answers(), labels), margin, good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot tell its images apart: after {MAX_STEPS} steps the smallest top-2 margin is "
            f"{worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more width or a larger image_size."
        )
    return worst


@torch.no_grad()
def tells_apart(model: nn.Module, pixel_values: torch.Tensor) -> bool:
    """Whether an untrained classifier answers different images differently at all; what does not, does not learn."""
    _calibrate(model, lambda: model(pixel_values=pixel_values))
    logits = model(pixel_values=pixel_values).logits
    return float((logits - logits[:1]).abs().max()) > LEAST_CHANGE


@torch.no_grad()
def _calibrate(model: nn.Module, run: Callable[[], object]) -> None:
    """Give batch norm the statistics of what ``run`` feeds; the model is left in evaluation mode."""
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of what is fed, not a moving one
        norm.train()
    if norms:
        run()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def _worst(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The smallest margin: the target's logit less the largest other one; logits [n, classes], targets [n]."""
    chosen = logits.gather(1, targets[:, None])[:, 0]
    return float((chosen - logits.scatter(1, targets[:, None], float("-inf")).amax(1)).min())


def embed(model: nn.Module, texts: Sequence[Sequence[int]], *, pooling: str) -> torch.Tensor:
    """[texts, hidden]: the mean of the hidden states of each text's tokens, or the last one's, of length one."""
    states = [model(torch.tensor([list(text)])).last_hidden_state[0] for text in texts]
    pooled = [each.mean(0) if pooling == "mean" else each[-1] for each in states]
    return nn.functional.normalize(torch.stack(pooled), dim=-1)


def train_embeddings(
    model: nn.Module, questions: Sequence[Sequence[int]], passages: Sequence[Sequence[int]], *, pooling: str, name: str
) -> float:
    """Train a model without an output layer in place until each question lies nearest to its own passage.

    Args:
        questions: Token ids of each.
        passages: Token ids of what answers each.
        pooling: As for ``embed``.

    Returns:
        The smallest margin: the cosine with the right passage less the largest with a wrong one.

    Raises:
        ZooError: the margin stayed below ``EMBEDDING_MARGIN``.
    """
    own = torch.arange(len(questions))

    def similarities() -> torch.Tensor:
        return embed(model, questions, pooling=pooling) @ embed(model, passages, pooling=pooling).T

    def loss() -> torch.Tensor:
        scores = similarities() / TEMPERATURE
        return nn.functional.cross_entropy(scores, own) + nn.functional.cross_entropy(scores.T, own)

    def margin() -> float:
        with torch.no_grad():
            scores = similarities()
        return float((scores.diagonal() - scores.masked_fill(torch.eye(len(own)).bool(), -1).amax(1)).min())

    worst = _fit(model, loss, margin, good=GOOD_EMBEDDING_MARGIN)
    if worst < EMBEDDING_MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot tell its passages apart: after {MAX_STEPS} steps the smallest margin is {worst:.2f}, "
            f"and {EMBEDDING_MARGIN} is needed. Give its Twin(...) more hidden_size or layers."
        )
    return worst


def _fit(model: nn.Module, loss: Callable[[], torch.Tensor], margin: Callable[[], float], *, good: float) -> float:
    """Minimise ``loss`` on one thread until ``margin`` is ``good`` or the steps are used up; returns the margin."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        worst = float("-inf")
        for step in range(1, MAX_STEPS + 1):
            # Without dropout: a twin learns by heart.
            model.eval()
            for norm in _batch_norms(model):
                norm.train()
            optimiser.zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            if step % STEPS_A_ROUND == 0:
                model.eval()
                worst = margin()
                if worst >= good:
                    break
    finally:
        torch.set_num_threads(threads)
    model.eval()
    return worst
