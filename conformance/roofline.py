"""The memory roofline of decoding: a token of a decoder at batch size 1 takes at least as long as its weights take to be read.

Williams, Waterman and Patterson, "Roofline" (2009): time >= bytes / bandwidth. What is counted are the weights of the layers
that decoding one token calls, and of an embedding the one row that is read; not the KV cache, which is small at short lengths.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from exporters.config import ExportConfig
from exporters.pipeline import torch_dtype

PROBE_BYTES = 2**30
"""More than any cache holds."""
LINEAR_BITS = {"8da4w": 4, "4w": 4, "8da8w": 8, "8w": 8}


@dataclass(frozen=True)
class DecodeWeights:
    """The weights that decoding one token reads, in numbers."""

    linear: int
    """Of linear layers, which quantization makes smaller."""
    others: int
    """Of everything else: norms, biases, convolutions, the row of an embedding."""

    def bytes(self, config: ExportConfig | None = None) -> float:
        """Bytes that they have in a program of a configuration; in fp32 without one. Scales of groups are left out: a
        sixty-fourth to an eighth."""
        itemsize = 4 if config is None else torch_dtype(config.dtype).itemsize
        quantized = config.qlinear.split(",")[0] if config is not None and config.qlinear else None
        return self.linear * (LINEAR_BITS[quantized] / 8 if quantized else itemsize) + self.others * itemsize


def decode_weights(model: torch.nn.Module, decode: Callable[[], object]) -> DecodeWeights:
    """The weights that a step of decoding reads: those of the layers it calls.

    Args:
        model: The eager model.
        decode: Decodes one token with it.
    """
    linear: dict[int, int] = {}
    others: dict[int, int] = {}

    def note(module: torch.nn.Module, *_: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if isinstance(module, torch.nn.Embedding):
                others.setdefault(id(module), parameter.shape[-1])
            elif parameter.dim() > 1 and not isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
                linear[id(parameter)] = parameter.numel()
            else:
                others[id(parameter)] = parameter.numel()

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        decode()
    finally:
        for hook in hooks:
            hook.remove()
    return DecodeWeights(linear=sum(linear.values()), others=sum(others.values()))


def read_bandwidth(*, rounds: int = 8) -> float:
    """Bytes a second that PyTorch reads from memory at its present number of threads: the best of several sums over 1 GiB."""
    values = torch.ones(PROBE_BYTES // 4)
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        values.sum()
        best = min(best, time.perf_counter() - began)
    return PROBE_BYTES / best


def share(weight_bytes: float, seconds: float, bandwidth: float) -> float:
    """How near a decoded token of ``seconds`` comes to the roofline, from 0 to 1: the time that reading its weights takes at
    least, over the time that it took. Weights that stay in the caches can come out above 1."""
    return weight_bytes / bandwidth / seconds
