"""A cache that the runtime updates in place with ``llama::update_cache``."""

from __future__ import annotations

from torch import Tensor, nn

from exporters.attention.layer import Shape, bits


class CustomCacheLayer(nn.Module):
    """Holds every position, length first, as the operator wants it.

    Args: as for ``StaticCacheLayer``, and
        quantized: Store keys and values in 8 bits.
    """

    kind = "custom"

    def __init__(self, shape: Shape, *, sliding: bool, quantized: bool = False) -> None:
        super().__init__()
        self.capacity = shape.max_seq_len
        self.sliding = sliding
        self.heads = shape.heads
        self.key_dim = shape.key_dim
        self.bits = bits(shape, quantized=quantized)
        self.shape = shape
        self.keys = shape.storage(self.capacity, shape.key_dim, quantized=quantized)
        self.values = shape.storage(self.capacity, shape.value_dim, quantized=quantized)

    def key_positions(self, positions: Tensor) -> tuple[int, int | Tensor]:
        return self.capacity, 0

    def update(self, keys: Tensor, values: Tensor, positions: Tensor, start: int | None) -> tuple[Tensor, Tensor]:
        self.keys.write(keys.transpose(1, 2), start)
        self.values.write(values.transpose(1, 2), start)
        return self.shape.arranged(self.keys.read(), self.values.read())
