"""``portable``: no delegate; every operator runs in ExecuTorch's portable and quantized kernels."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.config import ExportConfig
from exporters.passes import bias_apart, equal_ranks, means_of_whole_images, sums_in_fp32
from exporters.quantize import is_quantized
from exporters.workarounds import register_fx_program_fix

BACKEND = "executorch.portable"
for _fix in (means_of_whole_images, bias_apart, sums_in_fp32, equal_ranks):
    register_fx_program_fix(BACKEND)(_fix)


def partitioners(config: ExportConfig) -> list[Any]:
    return []


def prepare(model: Any, config: ExportConfig) -> None:
    if not config.linear_schemes:
        return
    _know_mixed_linear()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and is_quantized(child):
                setattr(module, name, MixedLinear(child))


class MixedLinear(nn.Module):
    """A linear layer with 8-bit weights and float activations: ``quantized_decomposed::mixed_linear``.

    What torchao makes of a linear layer is a dequantization before it, for which executorch 1.4.1 has no kernel ("Missing out
    variants: torchao::dequantize_affine").

    Args:
        linear: A linear layer that torchao has quantized, one scale an output channel.
    """

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.codes: Tensor
        self.scales: Tensor
        self.bias = linear.bias
        self.register_buffer("codes", linear.weight.qdata.clone())
        self.register_buffer("scales", linear.weight.scale.flatten().clone())

    @property
    def weight(self) -> Tensor:
        """The weight that the codes stand for, [features out, features in]; models ask for its type (Mamba)."""
        return self.codes.to(self.scales.dtype) * self.scales[:, None]

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., features in] to [..., features out]."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        product = torch.ops.quantized_decomposed.mixed_linear.default(rows, self.codes, self.scales, None)
        product = product.reshape(*inputs.shape[:-1], self.codes.shape[0])
        return cast(Tensor, product if self.bias is None else product + self.bias)


def _know_mixed_linear() -> None:
    """Tell torch what the operator computes; executorch 1.4.1 only tells its runtime."""
    from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401 - defines the operator

    name = "quantized_decomposed::mixed_linear"
    with contextlib.suppress(RuntimeError):  # it knows already

        @torch.library.register_fake(name)  # type: ignore[untyped-decorator]
        def _(inputs: Tensor, weight: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: Any = None) -> Tensor:
            return inputs.new_empty((inputs.shape[0], weight.shape[0]), dtype=dtype or inputs.dtype)

        @torch.library.impl(name, "cpu")
        def _(inputs: Tensor, weight: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: Any = None) -> Tensor:
            return torch.nn.functional.linear(inputs, weight.to(inputs.dtype) * scales[:, None]).to(dtype or inputs.dtype)
