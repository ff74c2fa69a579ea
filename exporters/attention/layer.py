"""The interface of one cache layer of an exported model."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from torch import Tensor


class Layout(str, Enum):
    """Order of the dimensions in which keys and values are handed to attention."""

    HEADS_FIRST = "heads_first"
    """[1, heads, length, head_dim], transformers' own."""
    LENGTH_FIRST = "length_first"
    """[1, length, heads, head_dim], what ``llama::custom_sdpa`` reads."""


class CacheLayer(Protocol):
    """Keys and values of one attention layer. It holds no count of its own: positions come with every call, so a
    session is reset by starting again at position 0."""

    kind: str
    """``static``, ``custom`` or ``ring``, for reports."""
    capacity: int
    """Positions it holds."""
    key_dim: int
    """Width of a key, the head size."""
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
