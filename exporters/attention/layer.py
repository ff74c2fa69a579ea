"""The interface of one cache layer of an exported model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

from exporters.attention.storage import FloatStorage, Int8Storage, Storage


class Layout(str, Enum):
    """Order of the dimensions in which keys and values are handed to attention."""

    HEADS_FIRST = "heads_first"
    """[1, heads, length, head_dim], transformers' own."""
    LENGTH_FIRST = "length_first"
    """[1, length, heads, head_dim], what ``llama::custom_sdpa`` reads."""


@dataclass(frozen=True)
class Shape:
    """What the attention of a layer produces, and how its cache hands it back."""

    heads: int
    """Number of key-value heads."""
    key_dim: int
    """Width of a key, the head size."""
    value_dim: int
    """Width of a value."""
    max_seq_len: int
    """Positions of a sequence."""
    layout: Layout
    """What ``update`` returns."""
    dtype: torch.dtype = torch.float32
    """Type of keys and values."""

    def storage(self, slots: int, width: int, *, quantized: bool) -> Storage:
        """Slots for keys or values of this layer."""
        return (Int8Storage if quantized else FloatStorage)(slots, self.heads, width, self.dtype)

    def arranged(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [1, length, heads, width] in the layout."""
        if self.layout is Layout.HEADS_FIRST:
            return keys.transpose(1, 2), values.transpose(1, 2)
        return keys, values


class CacheLayer(Protocol):
    """Keys and values of one attention layer. It holds no count of its own: positions come with every call, so a
    session is reset by starting again at position 0."""

    kind: str
    """``static``, ``custom``, ``ring`` or ``sink``, for reports; ``state`` of a layer that does not attend."""
    capacity: int
    """Positions it holds."""
    heads: int
    """Number of key-value heads; 0 of a layer that does not attend."""
    key_dim: int
    """Width of a key, the head size."""
    bits: int
    """Of a stored value."""
    sliding: bool
    """Whether the layer attends within a sliding window."""

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        """Where the keys that ``update`` returns stand in the sequence.

        Args:
            positions: [n] int64, the positions of the queries.

        Returns:
            The number of keys m, and what to add to ``arange(m)`` to get their positions: 0, or an [m] tensor. This is
            the pair that transformers' mask functions take.
        """
        ...

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        """Store new keys and values and return all that the queries may attend to.

        Args:
            keys: [1, heads, n, key_dim].
            values: [1, heads, n, value_dim].
            positions: [n] int64, consecutive.
            start: ``positions[0]`` as a number, for operators that take one; ``None`` if no layer asked for it.

        Returns:
            Keys and values in the layout the layer was built with.
        """
        ...


def bits(shape: Shape, *, quantized: bool) -> int:
    """Bits of a stored value."""
    return 8 if quantized else 8 * shape.dtype.itemsize
