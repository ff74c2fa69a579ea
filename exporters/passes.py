"""Graph passes over an ``ExportedProgram`` before it is lowered: one function each, with the upstream fault it answers."""

from __future__ import annotations

import math
from collections.abc import Collection
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
        _replace(program, node, result)
        replaced += 1
    if replaced:
        program.graph_module.recompile()
    return replaced


def bias_apart(program: Any, dtypes: Collection[torch.dtype] = (torch.float16, torch.bfloat16)) -> int:
    """Add the bias of a linear layer after the product.

    ``aten::addmm`` of the portable kernels adds the products up in the type of the weights (executorch 1.4.1;
    docs/upstream.md): in bfloat16 over 4096 input features its result is off by 6 %, where ``aten::mm``, which adds up in fp32,
    and eager PyTorch are off by 0.2 %. Delete this pass when it adds up as ``mm`` does.

    Args:
        program: An ``ExportedProgram``, changed in place.
        dtypes: The types of layers that no delegate takes.

    Returns:
        The number of layers that were replaced.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    replaced = 0
    for node in list(graph.nodes):
        biased = node.target is aten.linear.default and len(node.args) > 2 and node.args[2] is not None
        if not biased or node.meta["val"].dtype not in dtypes:
            continue
        source, weight, bias = node.args
        with graph.inserting_before(node):
            product = graph.call_function(aten.linear.default, (source, weight))
            result = graph.call_function(aten.add.Tensor, (product, bias))
            product.meta, result.meta = dict(node.meta), dict(node.meta)
        _replace(program, node, result)
        replaced += 1
    if replaced:
        program.graph_module.recompile()
    return replaced


LAYER_NORMS = (torch.ops.aten.layer_norm.default,)
"""What no delegate takes."""
IMAGE_SUMS = (
    torch.ops.aten.conv1d.default,
    torch.ops.aten.conv2d.default,
    torch.ops.aten.batch_norm.default,
    torch.ops.aten.avg_pool2d.default,
)
"""What a delegate takes in the types that it knows."""


def sums_in_fp32(
    program: Any,
    dtypes: Collection[torch.dtype] = (torch.float16, torch.bfloat16),
    operators: Collection[Any] = (*IMAGE_SUMS, *LAYER_NORMS),
) -> int:
    """Compute convolutions, batch norms, average pools and layer norms in fp32, and round what they answer.

    Those of the portable kernels compute in the type of their operands (executorch 1.4.1; docs/upstream.md): in bfloat16 over
    576 products a convolution is off by 2.7 %, where eager PyTorch is off by 0.2 %; and a layer norm of 256 values or more is
    wrong altogether. Delete this pass when they add up in fp32.

    Args:
        program: An ``ExportedProgram``, changed in place. Its weights keep their type.
        dtypes: The types of operators that no delegate takes.
        operators: The operators.

    Returns:
        The number of operators that were changed.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0

    def cast(value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, torch.fx.Node) or not value.meta["val"].is_floating_point():
            return value
        new = graph.call_function(aten.to.dtype, (value, dtype))
        new.meta = {**value.meta, "val": value.meta["val"].to(dtype)}
        return new

    for node in list(graph.nodes):
        if node.target not in operators or node.meta["val"].dtype not in dtypes:
            continue
        with graph.inserting_before(node):
            wide = graph.call_function(node.target, tuple(cast(each, torch.float32) for each in node.args), node.kwargs)
            wide.meta = {**node.meta, "val": node.meta["val"].float()}
            result = cast(wide, node.meta["val"].dtype)
        _replace(program, node, result)
        changed += 1
    if changed:
        program.graph_module.recompile()
    return changed


def boxes_in_fp32(program: Any, dtypes: Collection[torch.dtype] = (torch.float16,)) -> int:
    """Compute the sigmoid that makes the four coordinates of a box in fp32, and round what it answers.

    XNNPACK's fp16 sigmoid is off by up to 7.5e-4, three times what rounding costs (executorch 1.4.1; docs/upstream.md). A box
    that each layer of a decoder refines, as RT-DETR's does, goes through several: it overlaps with eager PyTorch's by 0.986,
    and by 0.996 with this pass. Delete it when XNNPACK's sigmoid is exact.

    Args:
        program: An ``ExportedProgram``, changed in place.
        dtypes: The types of operators that are changed.

    Returns:
        The number of operators that were changed.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if node.target is not aten.sigmoid.default or node.meta["val"].dtype not in dtypes or node.meta["val"].shape[-1] != 4:
            continue
        value = node.meta["val"]
        with graph.inserting_before(node):
            wide = graph.call_function(aten.to.dtype, (node.args[0], torch.float32))
            exact = graph.call_function(aten.sigmoid.default, (wide,))
            result = graph.call_function(aten.to.dtype, (exact, value.dtype))
        wide.meta = exact.meta = {**node.meta, "val": value.float()}
        result.meta = dict(node.meta)
        _replace(program, node, result)
        changed += 1
    if changed:
        program.graph_module.recompile()
    return changed


def means_of_whole_images(program: Any) -> int:
    """Turn average pools whose kernel covers the whole image into a mean over its height and width.

    The portable average pool visits every place of its kernel, also outside of the image, and XNNPACK takes no kernel that is
    larger (executorch 1.4.1; docs/upstream.md): EfficientNet pools a few pixels with a kernel of 1280 x 1280. Delete this pass
    when the kernel's range is clipped.

    Args:
        program: An ``ExportedProgram``, changed in place.

    Returns:
        The number of pools that were replaced.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    replaced = 0
    for node in list(graph.nodes):
        if node.target is not aten.avg_pool2d.default or not _averages_all(node):
            continue
        with graph.inserting_before(node):
            result = graph.call_function(aten.mean.dim, (node.args[0], [-2, -1], True))
            result.meta = dict(node.meta)
        _replace(program, node, result)
        replaced += 1
    if replaced:
        program.graph_module.recompile()
    return replaced


def _averages_all(node: Any) -> bool:
    """Whether an average pool answers the mean of the whole image: one window over all of it, divided by its size."""
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    given = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
    kernel, padding = (_pair(given.get(name) or 0) for name in ("kernel_size", "padding"))
    image, answer = node.args[0].meta["val"].shape[-2:], node.meta["val"].shape[-2:]
    if given.get("divisor_override") is not None or not all(isinstance(size, int) for size in (*image, *answer)):
        return False
    if any(padding) and given.get("count_include_pad", True):
        return False  # the padding counts
    covered = all(size + pad <= reach for size, pad, reach in zip(image, padding, kernel, strict=True))
    return covered and tuple(answer) == (1, 1)


def _pair(value: Any) -> tuple[int, int]:
    """Height and width, of one number for both or of a list."""
    values = [value] if isinstance(value, int) else list(value)
    return values[0], values[-1]


def equal_ranks(program: Any, dtypes: Collection[torch.dtype] = (torch.float32, torch.float16, torch.bfloat16)) -> int:
    """Give the factors of a product as many dimensions as each other, where both are broadcast.

    The optimized ``aten::mul`` fails if they have not ("Attempted to change the tensor rank which is immutable", executorch
    1.4.1; docs/upstream.md); where only one is broadcast it does not. Delete this pass when it never does.

    Args:
        program: An ``ExportedProgram``, changed in place.
        dtypes: The types of products that no delegate takes.

    Returns:
        The number of factors that were changed.
    """
    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if node.target is not aten.mul.Tensor or node.meta["val"].dtype not in dtypes:
            continue
        rank = node.meta["val"].dim()
        # As text: comparing lengths that are not known yet would add an assumption on them.
        shapes = [str(factor.meta["val"].shape) for factor in node.args if isinstance(factor, torch.fx.Node)]
        if str(node.meta["val"].shape) in shapes:
            continue
        for index, factor in enumerate(node.args):
            # A number has no shape, and neither has a tensor of none: those are multiplied otherwise.
            if not isinstance(factor, torch.fx.Node) or not 0 < factor.meta["val"].dim() < rank:
                continue
            wider = factor
            with graph.inserting_before(node):
                while wider.meta["val"].dim() < rank:
                    value = wider.meta["val"].unsqueeze(0)
                    wider = graph.call_function(aten.unsqueeze.default, (wider, 0))
                    wider.meta = {**node.meta, "val": value}
            node.update_arg(index, wider)
            changed += 1
    if changed:
        program.graph_module.recompile()
    return changed


def _replace(program: Any, node: Any, result: Any) -> None:
    """Put ``result`` in the place of ``node``, also where it is an output of the program."""
    node.replace_all_uses_with(result, propagate_meta=False)
    for output in program.graph_signature.output_specs:
        if output.arg.name == node.name:
            output.arg.name = result.name
    program.graph_module.graph.erase_node(node)
