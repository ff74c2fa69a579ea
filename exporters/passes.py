"""Graph passes over an ``ExportedProgram`` before it is lowered: one function each, with the upstream fault it answers."""

from __future__ import annotations

import math
from typing import Any

import torch


def exact_tanh_gelu(program: Any) -> int:
    """Spell out GELU's tanh approximation in the operators it consists of.

    XNNPACK's delegate computes the erf form whatever ``approximate`` says, an error of up to 4.7e-4 an activation
    (executorch 1.4.1, ``backends/xnnpack/operators/op_gelu.py`` drops the argument; docs/upstream.md). The formula is that
    of ``torch.nn.GELU``'s documentation. Delete this pass when the delegate tells the two forms apart.

    Args:
        program: An ``ExportedProgram``, changed in place.

    Returns:
        The number of nodes that were replaced.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    replaced = 0
    for node in list(graph.nodes):
        if node.target is not aten.gelu.default or node.kwargs.get("approximate", "none") != "tanh":
            continue
        source = node.args[0]

        def call(target: Any, *args: Any, node: Any = node) -> Any:
            new = graph.call_function(target, args)
            new.meta = dict(node.meta)  # same shape, dtype and origin as the result
            return new

        with graph.inserting_before(node):
            square = call(aten.mul.Tensor, source, source)
            cube = call(aten.mul.Tensor, square, source)
            inner = call(aten.add.Tensor, source, call(aten.mul.Tensor, cube, 0.044715))
            bent = call(aten.tanh.default, call(aten.mul.Tensor, inner, math.sqrt(2 / math.pi)))
            half = call(aten.mul.Tensor, source, 0.5)
            result = call(aten.mul.Tensor, half, call(aten.add.Tensor, bent, 1.0))
        node.replace_all_uses_with(result, propagate_meta=False)
        for output in program.graph_signature.output_specs:
            if output.arg.name == node.name:
                output.arg.name = result.name
        graph.erase_node(node)
        replaced += 1
    if replaced:
        program.graph_module.recompile()
    return replaced
