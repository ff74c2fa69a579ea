"""The twin of an embedding model: it brings questions next to the passages that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.model import Model
from zoo.twins import texts
from zoo.twins.checkpoint import refer, save, text_network, tokenizer_of
from zoo.twins.training import MAX_STEPS, TEMPERATURE, fit

EMBEDDING_MARGIN = 0.2
"""Smallest difference of cosines between a question's own passage and any other."""

GOOD_EMBEDDING_MARGIN = 0.6


def build(model: Model, directory: Path) -> None:
    """A model that brings questions next to the passages that answer them."""
    fast = tokenizer_of(model)
    pairs = texts.embedded(model, fast, model.twin.max_seq_len)
    network = text_network(model, fast)
    pooling = texts.MEAN if model.wrapper == "MaskedLMExportableModule" else texts.LAST
    margin = train_embeddings(network, *zip(*pairs, strict=True), pooling=pooling, name=model.name)
    save(network, fast, directory)
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        smallest_margin=margin,
        samples=[{"question": question, "passage": passage} for question, passage in pairs],
    )


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

    worst = fit(model, loss, margin, good=GOOD_EMBEDDING_MARGIN)
    if worst < EMBEDDING_MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot tell its passages apart: after {MAX_STEPS} steps the smallest margin is {worst:.2f}, "
            f"and {EMBEDDING_MARGIN} is needed. Give its Twin(...) more hidden_size or layers."
        )
    return worst
