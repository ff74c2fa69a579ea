"""Where a cache layer keeps its keys or its values: as they are, or in 8 bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FloatStorage(nn.Module):
    """Slots for vectors, length first.

    Args:
        slots: Number of positions.
        heads: Number of key-value heads.
        width: Width of a key or a value.
        dtype: Type of the vectors.
    """

    def __init__(self, slots: int, heads: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.values: Tensor
        self.register_buffer("values", torch.zeros(1, slots, heads, width, dtype=dtype))

    def write(self, values: Tensor, start: int | None, slots: Tensor | None = None) -> None:
        """Store ``values`` [1, n, heads, width] from the slot ``start`` on, or in ``slots`` [1, n]."""
        _write(self.values, values, start, slots)

    def read(self) -> Tensor:
        """[1, slots, heads, width]."""
        return self.values

    def rounded(self, values: Tensor) -> Tensor:
        """``values`` as they would come back."""
        return values


class Int8Storage(nn.Module):
    """Slots for vectors in 8 bits: a scale and a zero point for each position and head, asymmetric, as ExecuTorch's own
    quantized cache has them (``examples/models/llama/source_transformation/custom_kv_cache.py``).

    Args: as for ``FloatStorage``; ``dtype`` is what comes back.
    """

    def __init__(self, slots: int, heads: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.codes: Tensor
        self.scales: Tensor
        self.zero_points: Tensor
        self.register_buffer("codes", torch.zeros(1, slots, heads, width, dtype=torch.int8))
        self.register_buffer("scales", torch.ones(1, slots, heads, 1))
        self.register_buffer("zero_points", torch.zeros(1, slots, heads, 1, dtype=torch.int8))

    def write(self, values: Tensor, start: int | None, slots: Tensor | None = None) -> None:
        codes, scales, zero_points = _quantize(values)
        _write(self.codes, codes, start, slots)
        _write(self.scales, scales, start, slots)
        _write(self.zero_points, zero_points, start, slots)

    def read(self) -> Tensor:
        return _dequantize(self.codes, self.scales, self.zero_points).to(self.dtype)

    def rounded(self, values: Tensor) -> Tensor:
        return _dequantize(*_quantize(values)).to(self.dtype)


Storage = FloatStorage | Int8Storage


def _write(buffer: Tensor, values: Tensor, start: int | None, slots: Tensor | None) -> None:
    if slots is None:
        torch.ops.llama.update_cache(values, buffer, start)
    else:
        torch.ops.llama.update_cache_with_indices(values, buffer, 0, slots)


def _quantize(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    decomposed: Any = torch.ops.quantized_decomposed
    values = values.float()
    scales, zero_points = decomposed.choose_qparams_per_token_asymmetric.default(values, torch.int8)
    codes = decomposed.quantize_per_token.default(values, scales, zero_points, -128, 127, torch.int8)
    return codes, scales.float(), zero_points.to(torch.int8)


def _dequantize(codes: Tensor, scales: Tensor, zero_points: Tensor) -> Tensor:
    restored: Tensor = torch.ops.quantized_decomposed.dequantize_per_token.default(
        codes, scales.double(), zero_points.long(), -128, 127, torch.int8, torch.float32
    )
    return restored
