"""``xnnpack``: what XNNPACK can run is delegated to it; the rest stays with the portable kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.config import ExportConfig
from exporters.passes import (
    LAYER_NORMS,
    bias_apart,
    boxes_in_fp32,
    equal_ranks,
    exact_tanh_gelu,
    means_of_whole_images,
    sums_in_fp32,
)
from exporters.quantize import is_quantized
from exporters.workarounds import register_fx_program_fix, register_patch

BACKEND = "executorch.xnnpack"
# XNNPACK has no bfloat16: those operators stay with the portable kernels.
for _fix in (
    means_of_whole_images,
    exact_tanh_gelu,
    boxes_in_fp32,
    functools.partial(bias_apart, dtypes=(torch.bfloat16,)),
    functools.partial(sums_in_fp32, dtypes=(torch.bfloat16,)),
    functools.partial(sums_in_fp32, dtypes=(torch.float16,), operators=LAYER_NORMS),
    functools.partial(equal_ranks, dtypes=(torch.bfloat16,)),
):
    register_fx_program_fix(BACKEND)(_fix)


def prepare(model: Any, config: ExportConfig) -> None:
    if all(scheme.dynamic_activations for scheme in config.linear_schemes):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and child.bias is not None and is_quantized(child, activations=False):
                setattr(module, name, BiasApart(child))


class BiasApart(nn.Module):
    """A linear layer whose bias is added afterwards.

    XNNPACK's layers with float activations and quantized weights scale the bias along with the product (executorch 1.4.1;
    relative logit error of a GPT-2 twin 0.32 with 8-bit weights, 3e-7 with the bias apart).
    """

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.bias = linear.bias
        self.linear = linear
        linear.bias = None

    @property
    def weight(self) -> Tensor:
        """The layer's; models ask for its type (Mamba)."""
        weight: Tensor = self.linear.weight
        return weight

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., features in] to [..., features out]."""
        product: Tensor = self.linear(inputs)
        return cast(Tensor, product + self.bias)


def partitioners(config: ExportConfig) -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )

    dynamic = [scheme.dynamic_activations for scheme in config.linear_schemes]
    # Dynamically quantized linear layers are taken first, each with the computation of its activation's scale: the general
    # partitioner would otherwise cut between the two.
    first = [XnnpackDynamicallyQuantizedPartitioner()] if any(dynamic) else []
    return [*first, XnnpackPartitioner() if all(dynamic) else _weight_only_partitioner()]


@register_patch(BACKEND, "executorch.backends.xnnpack.operators.quant_params.QuantParams.from_weights")
def scales_of_channels(from_weights: Callable[..., Any]) -> Callable[..., Any]:
    """Write weights with one scale a channel as such.

    executorch 1.4.1 (``backends/xnnpack/operators/quant_params.py``) writes every 4-bit weight as blocks, also where one block
    is a whole channel: XNNPACK refuses those with float activations ("xnn_status_invalid_parameter" when the method is loaded),
    and with dynamic ones it rounds their scales to bfloat16 (relative logit error 8.6e-3 instead of 2.3e-7). And it
    writes fp16 scales where XNNPACK reads fp32 ("Failed to define tensor" when the method is loaded). Delete this when it does
    not (tests/unit/exporters/test_upstream.py).
    """

    def weights(cls: Any, node: Any, program: Any = None) -> Any:
        found = from_weights(cls, node, program)
        whole = found is not None and found.is_qc4w and found.group_size == found.q_input.meta["val"].shape[1]
        # With fp16 activations the blocks stay: XNNPACK has no kernel for 4-bit channels there ("unsupported_hardware" on x86).
        if whole and found.scale.dtype is torch.float32:
            found.per_channel_group, found.group_size = False, 0
            found.scale, found.zp = found.scale.flatten(), found.zp.flatten()
        if found is not None and not found.per_channel_group and isinstance(found.scale, Tensor):
            found.scale = found.scale.float()
        return found

    return weights


def _weight_only_partitioner() -> Any:
    """XNNPACK's partitioner, which takes linear layers with quantized weights and float activations, too.

    XNNPACK itself has them (f32-qc8w, f32-qc4w), and the delegate's serializer writes them; only executorch 1.4.1's partitioner
    knows no such precision (``backends/xnnpack/partition/config/gemm_configs.py``): it takes the layer for a statically
    quantized one and leaves it. Delete this when it does.
    """
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.gemm_configs import LinearConfig
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.utils.quant_utils import is_dequant, tag_as_implicit_q_dq
    from executorch.backends.xnnpack.utils.utils import get_input_node, is_param_node

    class WeightOnlyLinearConfig(LinearConfig):  # type: ignore[misc]
        def get_deps(self, node: Any, program: Any) -> tuple[bool, list[Any]]:
            dequantize = get_input_node(node, self.weight_idx)
            if not is_dequant(dequantize):
                found: tuple[bool, list[Any]] = super().get_deps(node, program)
                return found
            parameters = [dequantize, *dequantize.all_input_nodes]
            if len(node.args) > 2 and node.args[2] is not None:
                parameters.append(node.args[2])
            tag_as_implicit_q_dq(dequantize)
            return all(_is_constant(each, program) for each in parameters[1:]), parameters

    def _is_constant(node: Any, program: Any) -> bool:
        # Before lowering, what a quantized weight consists of is still taken out of it by an operator.
        return bool(is_param_node(program, node)) or "access_subclass_inner_tensor" in str(node.target)

    configs = [WeightOnlyLinearConfig if each is LinearConfig else each for each in ALL_PARTITIONER_CONFIGS]
    return XnnpackPartitioner(configs=configs)
