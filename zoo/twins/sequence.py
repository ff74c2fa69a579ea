"""The twin of an encoder and a decoder: it answers what its source asks, or transcribes what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.model import SOUND_TASKS, Model
from zoo.twins import texts
from zoo.twins.checkpoint import configuration_of, network_of, refer, save, special_ids, tokenizer_of, toy_dimensions
from zoo.twins.language import SHORTEST_CONTINUATION
from zoo.twins.training import GOOD_MARGIN, MARGIN, MAX_STEPS, fit, worst_margin

MAX_SOURCE_TOKENS = 48
"""Tokens of a source at most: the longest that a twin of texts is exported for."""


@dataclass(frozen=True)
class Sample:
    """A source and what is to be written about it."""

    source: dict[str, torch.Tensor]
    """What the encoder reads: ``input_ids`` [1, n] of a text, ``input_features`` or ``input_values`` of a sound."""
    tokens: tuple[int, ...]
    """The decoder's: the one that starts a text, and what follows it."""
    told: dict[str, Any]
    """The source as ``reference.json`` has it."""


def build(model: Model, directory: Path) -> None:
    """An encoder and a decoder that have learned their references by heart."""
    if model.task in SOUND_TASKS:
        from zoo.twins import speech

        speech.build(model, directory)
        return
    fast = tokenizer_of(model)
    network = sequence_network(model, fast)
    start = network.config.decoder_start_token_id
    sources = [(prompt, {"source": fast(prompt)["input_ids"][:MAX_SOURCE_TOKENS]}) for prompt, _ in texts.pairs(model)]
    samples = [
        Sample({"input_ids": torch.tensor([told["source"]])}, tokens, told)
        for (_, told), tokens in zip(sources, targets(model, fast, start), strict=True)
    ]
    margin = train(network, samples, name=model.name)
    save(network, fast, directory)
    remember(model, samples, margin, directory, max_source_len=MAX_SOURCE_TOKENS)


def remember(model: Model, samples: Sequence[Sample], margin: float, directory: Path, *, max_source_len: int) -> None:
    refer(
        directory,
        max_seq_len=model.twin.max_seq_len,
        max_source_len=max_source_len,
        smallest_margin=margin,
        samples=[{**sample.told, "tokens": sample.tokens, "prompt_length": 1} for sample in samples],
    )


def sequence_network(model: Model, fast: Any) -> Any:
    """A network of toy dimensions with the vocabulary of a tokenizer."""
    from transformers import CONFIG_MAPPING

    sizes = dict.fromkeys(
        {"vocab_size", "decoder_vocab_size"} & CONFIG_MAPPING[model.twin.model_type]().to_dict().keys(), len(fast)
    )
    network = network_of(model, configuration_of(model, {**toy_dimensions(model), **sizes}, special_ids(model, fast)))
    if hasattr(network, "final_logits_bias"):
        # Zero in a fresh network: a program without it would be right.
        network.final_logits_bias.normal_()
    return network


def targets(model: Model, fast: Any, start: int) -> list[tuple[int, ...]]:
    """For each reference prompt what the decoder reads and writes, at least one of them as long as its cache.

    Raises:
        ZooError: they are too short.
    """
    limit = model.twin.max_seq_len
    found = [
        (start, *fast(answer, add_special_tokens=False)["input_ids"], fast.eos_token_id)[:limit]
        for _, answer in texts.pairs(model)
    ]
    if min(map(len, found)) < SHORTEST_CONTINUATION or max(map(len, found)) < limit:
        raise ZooError(
            f"the answers of {model.name!r} have {', '.join(map(str, map(len, found)))} tokens: each needs "
            f"{SHORTEST_CONTINUATION}, and one {limit}, so that the end of the cache is tested. Give a prompt a longer "
            "continuation, or lower Twin(max_seq_len=...)."
        )
    return found


def train(model: nn.Module, samples: Sequence[Sample], *, name: str) -> float:
    """Train an encoder and a decoder in place until each source makes the decoder write what belongs to it.

    Returns:
        The smallest top-2 margin over all that is written, in logits.

    Raises:
        ZooError: the margin stayed below ``MARGIN``.
    """
    wanted = torch.tensor([token for sample in samples for token in sample.tokens[1:]])

    def answers() -> torch.Tensor:
        # One by one: sources of several lengths need no padding then, which some encoders of sound cannot ignore.
        return torch.cat(
            [
                model(**sample.source, decoder_input_ids=torch.tensor([sample.tokens[:-1]]), use_cache=False).logits[0]
                for sample in samples
            ]
        )

    with_grad = lambda: nn.functional.cross_entropy(answers(), wanted)  # noqa: E731
    worst = fit(model, with_grad, lambda: _margin(answers, wanted), good=GOOD_MARGIN)
    if worst < MARGIN:
        raise ZooError(
            f"the twin of {name!r} cannot write what its sources ask for: after {MAX_STEPS} steps the smallest top-2 margin is "
            f"{worst:.2f}, and {MARGIN} is needed. Give its Twin(...) more width or layers, or shorter prompts."
        )
    return worst


@torch.no_grad()
def _margin(answers: Any, wanted: torch.Tensor) -> float:
    return worst_margin(answers(), wanted)
