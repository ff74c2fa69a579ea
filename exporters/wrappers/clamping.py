"""Layers that look whether their states are finite, made to trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def clamped(encoder: nn.Module) -> Iterator[None]:
    """While it lasts, layers that clamp their states where some are infinite (BART's and Marian's in fp16, transformers 5.23.0)
    clamp them always: which numbers are infinite cannot decide over a program. Of finite states that changes those beyond
    64504, by at most 1000."""
    asked = _Asked()
    hooks = [layer.register_forward_hook(asked.clamp) for layer in getattr(encoder, "layers", ())]
    try:
        with asked:
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Asked(TorchFunctionMode):
    """Answers that everything is finite, and clamps what was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.isfinite:
            self.asked = True
            return _Finite()
        return function(*args, **(kwargs or {}))

    def clamp(self, module: nn.Module, inputs: Any, states: Tensor) -> Tensor:
        """A forward hook."""
        if not self.asked:
            return states
        self.asked = False
        bound = torch.finfo(states.dtype).max - 1000
        return torch.clamp(states, -bound, bound)


class _Finite:
    """What ``torch.isfinite`` answers of finite numbers."""

    def all(self) -> bool:
        return True
