"""Masks of layers that a configuration gives a window to. The model makes one mask for all of its layers and knows nothing of
the windows: an attention implementation finds the mask of a layer by the keys that came from the layer's cache.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from exporters.errors import ExportError

_noted: contextvars.ContextVar[list[tuple[Tensor, Tensor]] | None] = contextvars.ContextVar("noted", default=None)


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Tell attention layers that are called inside what they may see.

    Raises:
        ExportError: some layer with a window attended with a mask of the model.
    """
    noted: list[tuple[Tensor, Tensor]] = []
    token = _noted.set(noted)
    try:
        yield
    finally:
        _noted.reset(token)
    if noted:
        raise ExportError(
            f"local_global_attention: {len(noted)} layers of the model do not attend to the keys that their cache answers, so "
            "that their windows cannot be kept; export without it."
        )


def note(keys: Tensor, allowed: Tensor) -> None:
    """Note what the queries may see of ``keys``: [n, m], true where one may."""
    noted = _noted.get()
    assert noted is not None
    noted.append((keys, allowed))


def mask_of(keys: Tensor, given: Any) -> Any:
    """The mask [1, 1, n, m] that is added for ``keys``; ``given``, the model's, where nothing was noted of them."""
    noted = _noted.get() or []
    for index, (each, allowed) in enumerate(noted):
        if each is keys:
            del noted[index]
            return torch.where(allowed, 0.0, float("-inf"))[None, None]
    return given
