"""Latency: a program and its eager baseline, interleaved block by block in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conformance.sessions.protocol import GenerationSession, InferenceSession

BLOCKS = 7
DECODE_TOKENS = 16
CALLS = 4
WARM_UP = 1


@dataclass
class _Samples:
    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)


def measure(
    sessions: dict[str, GenerationSession],
    tokens: Sequence[int],
    *,
    prompt_tokens: int,
    blocks: int = BLOCKS,
    decode_tokens: int = DECODE_TOKENS,
) -> dict[str, Any]:
    """Time prefill and decode of sessions that take turns, each block in the opposite order of the one before.

    Args:
        sessions: By name; ``eager`` is what the others are compared with.
        tokens: The sequence that is fed: a prompt and what follows it.
        prompt_tokens: How many of them are prefilled.
        blocks: Times each session is measured.
        decode_tokens: Single-token steps a block.

    Returns:
        For each session milliseconds of prefill and tokens a second of decode, as median and p25 (the better quartile:
        lower time, higher rate); for all but ``eager`` the median of the blocks' ratios, above 1 when it is faster; and the
        ``samples``: by phase and session the seconds of a prefill or of a decoded token in each block.
    """
    decode_tokens = min(decode_tokens, len(tokens) - prompt_tokens)
    if decode_tokens < 1:
        raise ValueError(f"{len(tokens)} tokens leave nothing to decode after a prompt of {prompt_tokens}")
    prompt = torch.tensor([list(tokens[:prompt_tokens])])
    steps = [torch.tensor([[token]]) for token in tokens[prompt_tokens : prompt_tokens + decode_tokens]]
    samples = {name: _Samples() for name in sessions}
    order = list(sessions)
    for block in range(-WARM_UP, blocks):
        for name in order:
            session = sessions[name]
            session.reset()
            prefill = _seconds(lambda session=session: session.forward(prompt, 0))  # type: ignore[misc]
            began = time.perf_counter()
            for index, step in enumerate(steps):
                session.forward(step, prompt_tokens + index)
            decode = (time.perf_counter() - began) / len(steps)
            if block >= 0:
                samples[name].prefill.append(prefill)
                samples[name].decode.append(decode)
        order.reverse()
    result: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "decode_tokens": decode_tokens,
        "blocks": blocks,
    }
    for name, found in samples.items():
        result[name] = {
            "prefill_ms": 1e3 * statistics.median(found.prefill),
            "prefill_ms_p25": 1e3 * _p25(found.prefill),
            "decode_tokens_per_second": 1 / statistics.median(found.decode),
            "decode_tokens_per_second_p25": 1 / _p25(found.decode),
        }
    for name in sessions:
        if name != "eager":
            result[name]["prefill_speedup"] = _ratio(samples["eager"].prefill, samples[name].prefill)
            result[name]["decode_speedup"] = _ratio(samples["eager"].decode, samples[name].decode)
    result["samples"] = {
        "prefill": {name: _rounded(found.prefill) for name, found in samples.items()},
        "decode": {name: _rounded(found.decode) for name, found in samples.items()},
    }
    return result


def measure_inference(
    sessions: dict[str, InferenceSession], inputs: Mapping[str, Tensor], *, blocks: int = BLOCKS, calls: int = CALLS
) -> dict[str, Any]:
    """Time models of one pass that take turns, as ``measure`` does.

    Args:
        inputs: What is asked each time.
        calls: Calls a block.

    Returns:
        For each session milliseconds a call, as median and p25; for all but ``eager`` the median of the blocks' ratios; and the
        ``samples``: by session the seconds of a call in each block.
    """
    samples: dict[str, list[float]] = {name: [] for name in sessions}
    order = list(sessions)
    for block in range(-WARM_UP, blocks):
        for name in order:
            began = time.perf_counter()
            for _ in range(calls):
                sessions[name].infer(inputs)
            if block >= 0:
                samples[name].append((time.perf_counter() - began) / calls)
        order.reverse()
    result: dict[str, Any] = {"blocks": blocks, "calls": calls}
    for name, found in samples.items():
        result[name] = {"infer_ms": 1e3 * statistics.median(found), "infer_ms_p25": 1e3 * _p25(found)}
        if name != "eager":
            result[name]["infer_speedup"] = _ratio(samples["eager"], found)
    result["samples"] = {"infer": {name: _rounded(found) for name, found in samples.items()}}
    return result


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


def _rounded(seconds: Sequence[float]) -> list[float]:
    """To four digits: a block varies by more."""
    return [float(f"{value:.3e}") for value in seconds]


def _p25(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def _ratio(eager: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(first / second for first, second in zip(eager, other, strict=True))
