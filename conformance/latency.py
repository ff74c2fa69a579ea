"""Latency: a program and its eager baseline, interleaved block by block in one run.

The sessions take turns, in the opposite order from block to block, so that two blocks after each other read E P P E: what
drifts with time falls on both alike. A turn begins with a call that does not count, because the first one pays for what the
other session pushed out of the caches (on twins up to half of its time).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conformance.sessions.protocol import GenerationSession, InferenceSession

BLOCKS = 8
"""An even number: as many in one order as in the other."""
PREFILLS = 3
DECODE_TOKENS = 16
CALLS = 4
WARM_UP = 1


@dataclass
class _Samples:
    prefill: list[list[float]] = field(default_factory=list)
    decode: list[list[float]] = field(default_factory=list)


def measure(
    sessions: Mapping[str, GenerationSession],
    tokens: Sequence[int],
    *,
    prompt_tokens: int,
    blocks: int = BLOCKS,
    decode_tokens: int = DECODE_TOKENS,
    against: str = "eager",
) -> dict[str, Any]:
    """Time prefill and decode of sessions that take turns, each block in the opposite order of the one before.

    Args:
        sessions: By name.
        tokens: The sequence that is fed: a prompt and what follows it.
        prompt_tokens: How many of them are prefilled.
        blocks: Times each session is measured.
        decode_tokens: Single-token steps a block.
        against: The session that the others are compared with.

    Returns:
        For each session milliseconds of prefill and tokens a second of decode, as median and p25 (the better quartile:
        lower time, higher rate); for all but that one the median of the blocks' ratios, above 1 when it is faster; and
        the ``samples``: by phase and session, for each block, the seconds of the fastest prefill or decoded token.
    """
    decode_tokens = min(decode_tokens, len(tokens) - prompt_tokens)
    if decode_tokens < 1:
        raise ValueError(f"{len(tokens)} tokens leave nothing to decode after a prompt of {prompt_tokens}")
    prompt = torch.tensor([list(tokens[:prompt_tokens])])
    steps = [torch.tensor([[token]]) for token in tokens[prompt_tokens : prompt_tokens + decode_tokens]]
    samples = {name: _Samples() for name in sessions}
    for block, name in _turns(sessions, blocks):
        session = sessions[name]
        prefill = []
        for _ in range(1 + PREFILLS):
            session.reset()
            prefill.append(_seconds(lambda session=session: session.forward(prompt, 0)))  # type: ignore[misc]
        decode = [
            _seconds(lambda session=session, step=step, at=at: session.forward(step, at))  # type: ignore[misc]
            for at, step in enumerate(steps, start=prompt_tokens)
        ]
        if block >= 0:
            samples[name].prefill.append(prefill[1:])
            samples[name].decode.append(decode)
    result: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "decode_tokens": decode_tokens,
        "blocks": blocks,
    }
    prefills = {name: [statistics.fmean(block) for block in found.prefill] for name, found in samples.items()}
    decodes = {name: [statistics.fmean(block) for block in found.decode] for name, found in samples.items()}
    for name in sessions:
        result[name] = {
            "prefill_ms": 1e3 * statistics.median(prefills[name]),
            "prefill_ms_p25": 1e3 * _p25(prefills[name]),
            "decode_tokens_per_second": 1 / statistics.median(decodes[name]),
            "decode_tokens_per_second_p25": 1 / _p25(decodes[name]),
        }
        if name != against:
            result[name]["prefill_speedup"] = _ratio(prefills[against], prefills[name])
            result[name]["decode_speedup"] = _ratio(decodes[against], decodes[name])
    result["samples"] = {
        "prefill": {name: _rounded(map(min, found.prefill)) for name, found in samples.items()},
        "decode": {name: _rounded(map(min, found.decode)) for name, found in samples.items()},
    }
    return result


def measure_inference(
    sessions: Mapping[str, InferenceSession],
    inputs: Mapping[str, Tensor],
    *,
    blocks: int = BLOCKS,
    calls: int = CALLS,
    against: str = "eager",
) -> dict[str, Any]:
    """Time models of one pass that take turns, as ``measure`` does.

    Args:
        sessions: By name.
        inputs: What is asked each time.
        blocks: Times each session is measured.
        calls: Calls a block.
        against: The session that the others are compared with.

    Returns:
        For each session milliseconds a call, as median and p25; for all but that one the median of the blocks' ratios; and
        the ``samples``: by session the seconds of the fastest call in each block.
    """
    samples: dict[str, list[list[float]]] = {name: [] for name in sessions}
    for block, name in _turns(sessions, blocks):
        session = sessions[name]
        session.infer(inputs)
        found = [_seconds(lambda session=session: session.infer(inputs)) for _ in range(calls)]  # type: ignore[misc]
        if block >= 0:
            samples[name].append(found)
    result: dict[str, Any] = {"blocks": blocks, "calls": calls}
    means = {name: [statistics.fmean(block) for block in found] for name, found in samples.items()}
    for name, seconds in means.items():
        result[name] = {"infer_ms": 1e3 * statistics.median(seconds), "infer_ms_p25": 1e3 * _p25(seconds)}
        if name != against:
            result[name]["infer_speedup"] = _ratio(means[against], seconds)
    result["samples"] = {"infer": {name: _rounded(map(min, found)) for name, found in samples.items()}}
    return result


def _turns(names: Iterable[str], blocks: int) -> Iterator[tuple[int, str]]:
    """Whose turn it is, with the number of the block; blocks of warm-up have negative ones."""
    order = list(names)
    for block in range(-WARM_UP, blocks):
        for name in order:
            yield block, name
        order.reverse()


def measure_loads(actions: dict[str, Callable[[], object]], *, blocks: int = 3) -> dict[str, dict[str, float]]:
    """Time actions that take turns, as ``measure`` does: milliseconds, as median and p25, by name."""
    samples: dict[str, list[float]] = {name: [] for name in actions}
    order = list(actions)
    for _ in range(blocks):
        for name in order:
            samples[name].append(_seconds(actions[name]))
        order.reverse()
    return {
        name: {"load_ms": 1e3 * statistics.median(found), "load_ms_p25": 1e3 * _p25(found)} for name, found in samples.items()
    }


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _rounded(seconds: Iterable[float]) -> list[float]:
    """To four digits: a block varies by more."""
    return [float(f"{value:.3e}") for value in seconds]


def _p25(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def _ratio(eager: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(first / second for first, second in zip(eager, other, strict=True))
