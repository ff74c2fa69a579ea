"""XNNPACK's passes over each partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced

Rewrites = Callable[[Any], bool]
"""Whether a pass rewrites anything in a graph."""


@acceleration(executorch="1.4.1")
def passes_with_something_to_rewrite() -> Iterator[None]:
    """Run an XNNPACK pass over a partition only if an operator that it rewrites occurs there.

    Upstream runs 17 passes over each partition, and each ends by retracing it, rewritten or not. Retracing an unchanged graph
    gives the same operators, arguments, shapes and types under other node names, and the delegate's format holds no names.
    Two of the passes look for patterns that are exported and lowered themselves the first time; without an operator that
    every such pattern has, there is nothing to look for.
    """
    from executorch.backends.xnnpack import _passes
    from executorch.backends.xnnpack._passes.xnnpack_pass import XNNPACKPass
    from executorch.exir.program._program import _transform

    rewrites = rewriting()

    def transform(self: Any) -> Any:
        program = self.exported_program
        for each in self.passes:
            if each not in rewrites or rewrites[each](program.graph):
                program = _transform(program, each(program) if issubclass(each, XNNPACKPass) else each())
        return program

    with replaced((_passes.XNNPACKPassManager, "transform", transform)):
        yield


def rewriting() -> dict[type, Rewrites]:
    """For each pass of ``XNNPACKPassManager``: whether it rewrites anything in a graph."""
    from executorch.backends.xnnpack import _passes as passes
    from executorch.exir.dialects._ops import ops
    from executorch.exir.passes.dim_order_ops_registry import MemoryFormatOpsMap

    aten = ops.edge.aten
    batch_norm = any_of(aten.native_batch_norm.default, aten._native_batch_norm_legit_no_training.default)
    nhwc = any_of(*passes.ChannelsLastTaggedReshapePass.memory_sensitive_ops_nhwc, aten._to_copy.default)
    return {
        passes.XNNPACKRemoveCloneOpsTransform: any_of(*passes.XNNPACKRemoveCloneOpsTransform.clone_ops),
        passes.DimOrderOpsRevertPass: any_of(*MemoryFormatOpsMap),
        passes.ConvertToUpsampleBilinear2d: all_of(*bilinear_operators()),
        passes.ConvertToLinearPass: any_of(*passes.ConvertToLinearPass.targets),
        passes.PropagateCustomMetaPass: _has_tag_to_pass_on,
        passes.ConvertToSDPAPass: all_of(*sdpa_operators()),
        passes.ConstPropPass: _has_constant_operator,
        passes.FuseBatchNormPass: batch_norm,
        passes.DecomposeBatchNorm: batch_norm,
        passes.FuseActivationPass: any_of(*passes.FuseActivationPass.FUSEABLE_ACTIVATIONS),
        passes.DecomposeConcatenate: any_of(aten.cat.default),
        passes.RemoveGetItemPass: any_of(aten.max_pool2d_with_indices.default, aten.max.dim),
        passes.InsertPadQDQPass: any_of(aten.constant_pad_nd.default),
        passes.Conv1dUnsqueezePass: any_of(aten.convolution.default),
        passes.PReLUReshapePass: any_of(aten._prelu_kernel.default),
        passes.ChannelsLastTaggedReshapePass: lambda graph: nhwc(graph) or _has_channels_last_value(graph),
        passes.RemoveRedundantCopyPass: any_of(aten._to_copy.default),
    }


def bilinear_operators() -> tuple[Any, ...]:
    """Operators that every pattern of ``ConvertToUpsampleBilinear2d`` has."""
    from executorch.exir.dialects._ops import ops

    return (ops.edge.aten.upsample_bilinear2d.vec,)


def sdpa_operators() -> tuple[Any, ...]:
    """Operators that every pattern of ``ConvertToSDPAPass`` has."""
    from executorch.exir.dialects._ops import ops

    aten = ops.edge.aten
    return aten._softmax.default, aten.bmm.default, aten.mul.Scalar


def any_of(*targets: Any) -> Rewrites:
    """Whether one of these operators occurs."""
    wanted = frozenset(targets)
    return lambda graph: any(node.op == "call_function" and node.target in wanted for node in graph.nodes)


def all_of(*targets: Any) -> Rewrites:
    """Whether each of these operators occurs."""
    wanted = frozenset(targets)
    return lambda graph: wanted <= {node.target for node in graph.nodes if node.op == "call_function"}


def _has_tag_to_pass_on(graph: Any) -> bool:
    """Whether what is quantized or dequantized carries ``custom``, such as the name of an external weights file."""
    from executorch.backends.xnnpack.utils.quant_utils import is_dequant, is_quant

    return any(
        (is_quant(node) or is_dequant(node)) and node.args and "custom" in getattr(node.args[0], "meta", {})
        for node in graph.nodes
    )


def _has_constant_operator(graph: Any) -> bool:
    """Whether an operator has constants for inputs only."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    return any(
        node.op == "call_function"
        and isinstance(node.target, EdgeOpOverload)
        and all(source.op == "get_attr" for source in node.all_input_nodes)
        for node in graph.nodes
    )


def _has_channels_last_value(graph: Any) -> bool:
    """Whether an input or output may lie channels last; what is between has the order that the operators give it."""
    import torch

    ends = [node for node in graph.nodes if not node.all_input_nodes]
    ends += [source for node in graph.nodes if node.op == "output" for source in node.all_input_nodes]
    values = (node.meta.get("val") for node in ends)
    return any(isinstance(value, torch.Tensor) and value.dim() >= 4 and not value.is_contiguous() for value in values)
