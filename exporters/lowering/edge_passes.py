"""The passes from ATen to edge operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.lowering.graphs import has_submodules, operators
from exporters.workarounds import replaced


@acceleration(executorch="1.4.1", torch="2.13.0")
def edge_passes_with_something_to_rewrite() -> Iterator[None]:
    """Skip an ATen-to-edge pass that has nothing to rewrite.

    Each of these passes retraces the whole program to rewrite one kind of operator or argument, which is looked for here
    first. Retracing an unchanged graph gives the same operators, arguments, shapes and types; the node names that it would
    change are given anew by a later pass that always runs (ATen to edge operators).
    """
    from executorch.exir.pass_base import PassResult
    from executorch.exir.passes.normalize_transpose_pass import NormalizeTransposePass
    from executorch.exir.passes.remove_mixed_type_operators import RemoveMixedTypeOperators
    from executorch.exir.passes.replace_broken_ops_with_function_ops_pass import ReplaceBrokenOpsWithFunctionalOpsPass
    from executorch.exir.passes.scalar_to_tensor_pass import ScalarToTensorPass
    from executorch.exir.passes.sym_to_tensor_pass import SymToTensorPass

    def skipping(stock: Callable[[Any, Any], Any], rewrites: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
        def call(self: Any, module: Any) -> Any:
            if has_submodules(module) or any(rewrites(node, module) for node in operators(module)):
                return stock(self, module)
            return PassResult(module, False)

        return call

    predicates: dict[Any, Callable[[Any, Any], bool]] = {
        NormalizeTransposePass: _is_transpose,
        ReplaceBrokenOpsWithFunctionalOpsPass: _is_view,
        ScalarToTensorPass: _has_number_for_tensor,
        SymToTensorPass: _has_size_for_tensor,
        RemoveMixedTypeOperators: _mixes_types,
    }
    with replaced(*((each, "call", skipping(each.call, rewrites)) for each, rewrites in predicates.items())):
        yield


@acceleration(executorch="1.4.1", torch="2.13.0")
def edge_operators_without_retracing() -> Iterator[None]:
    """Put edge operators in the place of ATen operators node by node, where upstream retraces the program to do so.

    An edge operator computes what its ATen operator computes, so shapes and types are those that the nodes have already. The
    nodes get the names that retracing gives them. A program with submodules (control flow) is left to upstream.
    """
    import torch
    from executorch.exir.pass_base import PassResult
    from executorch.exir.passes.replace_aten_with_edge_pass import OpReplacePass, aten_to_edge, should_lower_to_edge
    from torch._ops import OpOverload

    stock = OpReplacePass.call

    def call(self: Any, module: Any) -> Any:
        if has_submodules(module):
            return stock(self, module)
        graph = torch.fx.Graph()
        graph.set_codegen(module.graph._codegen)
        new: dict[Any, Any] = {}
        for node in module.graph.nodes:
            target, name = node.target, None
            if node.op == "call_function" and should_lower_to_edge(target):
                target = aten_to_edge(target)
            elif isinstance(target, OpOverload):
                name = graph._target_to_str(target.overloadpacket.__name__)
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), new.__getitem__)
            new[node] = graph.create_node(node.op, target, args, kwargs, name)
            new[node].meta = dict(node.meta)
        result = torch.fx.GraphModule(module, graph)
        result.meta = dict(module.meta)
        return PassResult(result, True)

    with replaced((OpReplacePass, "call", call)):
        yield


def _tensor_arguments(node: Any) -> Iterator[Any]:
    """What stands where an operator's schema says tensor: a node, or something that a pass is to make one."""
    import torch

    for index, argument in enumerate(node.target._schema.arguments):
        if isinstance(argument.type, torch.TensorType):
            if argument.name in node.kwargs:
                yield node.kwargs[argument.name]
            elif not argument.kwarg_only and index < len(node.args):
                yield node.args[index]


def _is_transpose(node: Any, module: Any) -> bool:
    import torch

    return node.target is torch.ops.aten.t.default


def _is_view(node: Any, module: Any) -> bool:
    view: bool = node.target.is_view
    return view


def _has_number_for_tensor(node: Any, module: Any) -> bool:
    return any(isinstance(value, (float, int, bool)) for value in _tensor_arguments(node))


def _has_size_for_tensor(node: Any, module: Any) -> bool:
    import torch

    sizes = (torch.SymInt, torch.SymFloat, torch.SymBool)
    return any(
        isinstance(value, torch.fx.Node) and isinstance(value.meta.get("val"), sizes) for value in _tensor_arguments(node)
    )


def _mixes_types(node: Any, module: Any) -> bool:
    """Whether an operator that promotes types has arguments of several, or of one that it promotes by itself."""
    import torch

    aten = torch.ops.aten
    promoting = (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.minimum.default)
    dividing = (aten.div.Tensor, aten.div.Tensor_mode)
    if node.target not in (*promoting, *dividing):
        return False
    dtypes = {_dtype(value, module) for value in _tensor_arguments(node)}
    floating = {torch.float32, torch.float16, torch.bfloat16}
    kept = floating if node.target in dividing else floating | {torch.int64, torch.int32}
    return len(dtypes) != 1 or not dtypes <= kept


def _dtype(value: Any, module: Any) -> Any:
    import torch

    if not isinstance(value, torch.fx.Node):
        return None
    found = getattr(module, str(value.target), None) if value.op == "get_attr" else value.meta.get("val")
    return found.dtype if isinstance(found, torch.Tensor) else None
