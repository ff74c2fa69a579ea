"""Computes while exporting what does not depend on a program's inputs.

A detector works out its padding mask, the positions of its features and the anchors of its boxes for the size of the image it
is given; a program has one size, and there they are constants. Left in the graph they are dozens of small operators outside of
the delegate, some of them without a kernel: of YOLOS's resampled positions executorch 1.4.1 makes an ``aten::clone`` to
channels-last memory, which it then cannot emit ("Tensor has a memory_format that is unsupported in ExecuTorch:
torch.channels_last").
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def fold_constants(program: Any) -> Any:
    """A program in which every value that does not depend on the inputs is a constant, except what linear layers make of their
    weights: those are quantized, and accounted for, layer by layer.

    Args:
        program: An ``ExportedProgram`` with static shapes.

    Returns:
        The new ``ExportedProgram``.
    """
    from executorch.backends.transforms.utils import create_constant_placeholder, delete_constant_placeholder
    from torch.export.graph_signature import InputKind

    program = program.run_decompositions({})  # without operators that write into what others read
    graph = program.graph_module.graph
    values = _values(program)
    ends = [node for node in values if node.op == "call_function" and any(user not in values for user in node.users)]
    for index, node in enumerate(ends):
        first = next(iter(graph.nodes))
        with graph.inserting_before(first):
            value = values[node].clone(memory_format=torch.contiguous_format)
            constant = create_constant_placeholder(
                program, graph, f"folded_{index}", InputKind.BUFFER, value, persistent_buffer=True
            )
        node.replace_all_uses_with(constant, propagate_meta=False)
        for output in program.graph_signature.output_specs:
            if output.arg.name == node.name:
                output.arg.name = constant.name
    graph.eliminate_dead_code()
    for node in [node for node in graph.nodes if node.op == "placeholder" and not node.users]:
        if node.name not in program.graph_signature.user_inputs:
            delete_constant_placeholder(program, node)
    program.graph_module.recompile()
    program.validate()
    return program


def _values(program: Any) -> Mapping[Any, Tensor]:
    """What is known of a graph's nodes without its inputs, in the order of the graph."""
    values: dict[Any, Any] = {}
    weights = {**program.state_dict, **program.constants}
    names = {
        **program.graph_signature.inputs_to_parameters,
        **program.graph_signature.inputs_to_buffers,
        **program.graph_signature.inputs_to_lifted_tensor_constants,
    }
    for node in program.graph_module.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            weight = weights[names[node.name]]
            # Not what torchao made of a weight: that stays as it is stored.
            if type(weight) in (Tensor, torch.nn.Parameter, torch.nn.Buffer):
                values[node] = weight.detach()
        elif node.op == "call_function" and _folds(node) and all(source in values for source in node.all_input_nodes):
            arguments, options = torch.fx.map_arg((node.args, node.kwargs), lambda source: values[source])
            value = node.target(*arguments, **options)
            if isinstance(value, (Tensor, tuple, list)):
                values[node] = value
    return {node: value for node, value in values.items() if isinstance(value, Tensor)}


def _folds(node: Any) -> bool:
    if node.target is operator.getitem:
        return True
    namespace = getattr(node.target, "namespace", "")
    return namespace == "aten" and node.target is not torch.ops.aten.linear.default
