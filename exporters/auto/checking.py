"""Whether a program answers what its model answers: on the sample inputs, and on another size where shapes are dynamic."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from exporters.errors import ExportError

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.05}
"""Largest error of an output, as a share of its largest value or of 1."""

Run = Callable[[dict[str, Any]], Sequence[Tensor]]
"""Runs a program on keyword arguments and gives the tensors it answers, in the order of the model's."""
Inputs = dict[str, Any]
Change = Callable[[int], tuple[int, ...]]
CHANGES: tuple[Change, ...] = (lambda size: (size + 1, size - 1), lambda size: (2 * size,))
"""Other sizes of a dynamic dimension, those that are tried first in front."""
_Tree = TypeVar("_Tree")


class MismatchError(ExportError):
    """A program that does not answer what its model answers."""


def compare(expected: Mapping[str, Tensor], found: Sequence[Tensor], what: str) -> None:
    """Compare a program's answers with eager PyTorch's.

    Raises:
        MismatchError: they differ, in number, shape or value.
    """
    if len(expected) != len(found):
        raise MismatchError(f"{what} answers {len(found)} tensors where eager PyTorch answers {len(expected)}.")
    for (name, truth), answer in zip(expected.items(), found, strict=True):
        answer = _last_positions(answer, truth)
        if answer.shape != truth.shape:
            raise MismatchError(
                f"{what}: {name} has the shape {tuple(answer.shape)} where eager PyTorch's is {tuple(truth.shape)}."
            )
        if not truth.is_floating_point():
            if not torch.equal(truth, answer.to(truth.dtype)):
                raise MismatchError(f"{what}: {name} is not eager PyTorch's.")
            continue
        bound = TOLERANCE.get(truth.dtype, 0.05)
        scale = max(1.0, float(truth.nan_to_num(0, 0, 0).abs().max())) if truth.numel() else 1.0
        if not torch.allclose(truth.double(), answer.double(), rtol=0, atol=bound * scale, equal_nan=True):
            error = float((truth.double() - answer.double()).abs().max())
            raise MismatchError(
                f"{what}: {name} is off by up to {error:.3g} from eager PyTorch's, and {bound * scale:.3g} is allowed."
            )


def check(
    run: Run, program: Any, model: Any, inputs: Mapping[str, Any], what: str, leaves: Callable[[Any], dict[str, Tensor]]
) -> None:
    """Compare a program with its model on ``inputs``, and on inputs of another size if it takes any.

    Args:
        run: Runs the program.
        program: The ``ExportedProgram`` it was made of: it knows the inputs as they were traced, and their bounds.
        model: The model in eager PyTorch.
        inputs: What the caller gave.
        what: The program's name in messages.
        leaves: The tensors of what the model answers, in the program's order.

    Raises:
        MismatchError: they differ.
    """
    prepared = traced_inputs(program)
    compare(leaves(eager(model, inputs)), run(copy.deepcopy(prepared)), what)
    flags = {name: value for name, value in inputs.items() if isinstance(value, bool)}
    others = [other for change in CHANGES if (other := another_size(program, prepared, change)) is not None]
    for other in others:
        try:
            expected = leaves(eager(model, {**other, **flags}))
        except Exception:  # a size that the model itself does not take, such as an image that is no multiple of its patches
            continue
        try:
            found = run(copy.deepcopy(other))
        except Exception as error:
            raise MismatchError(
                f"{what} does not take inputs of the sizes {_sizes(other)}: {type(error).__name__}: {error}"
            ) from error
        compare(expected, found, f"{what} on inputs of the sizes {_sizes(other)}")
        return
    if others:
        tried = " or ".join(map(_sizes, others))
        warnings.warn(
            f"{what} was compared on the sample inputs only: eager PyTorch takes no inputs of the sizes {tried}.",
            RuntimeWarning,
            stacklevel=4,
        )


@torch.no_grad()
def eager(model: Any, inputs: Mapping[str, Any]) -> Any:
    """What the model answers; caches among the inputs are not changed."""
    return model(**copy.deepcopy(dict(inputs)))


def traced_inputs(program: Any) -> Inputs:
    """The keyword arguments an ``ExportedProgram`` was traced with."""
    return dict(copy.deepcopy(program.example_inputs[1]))


def tensors(answer: Any) -> dict[str, Tensor]:
    """The tensors that a model answers in the order in which an ``ExportedProgram`` answers them, by name."""
    from transformers.exporters.utils import get_leaf_tensors

    found = [leaf for leaf in _pytree.tree_leaves(answer) if isinstance(leaf, Tensor)]
    names = {id(tensor): name for name, tensor in get_leaf_tensors(answer).items()}
    return {f"{names.get(id(tensor), 'output')}#{index}": tensor for index, tensor in enumerate(found)}


def dynamic_dimensions(program: Any) -> dict[str, dict[int, str]]:
    """Which dimensions of which inputs of an ``ExportedProgram`` are dynamic: input, dimension, and its name or formula."""
    found: dict[str, dict[int, str]] = {}
    for node in _inputs(program):
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            symbolic = {axis: str(size) for axis, size in enumerate(_shape(value)) if not isinstance(size, int)}
            found |= {str(node.name): symbolic} if symbolic else {}
    return found


def another_size(program: Any, inputs: _Tree, change: Change | None = None) -> _Tree | None:
    """The inputs an ``ExportedProgram`` was traced with, repeated or cut to another size; ``None`` if it takes no other.

    Args:
        program: The program.
        inputs: Its positional arguments as a tuple, or its keyword arguments.
        change: The other sizes of a dynamic dimension to be tried; one more, or one less, by default.
    """
    leaves, spec = _pytree.tree_flatten(inputs)
    nodes = list(_inputs(program))
    if len(nodes) != len(leaves):
        raise ExportError(f"the program takes {len(nodes)} inputs, and was traced with {len(leaves)}.")
    sizes = _other_sizes(program, nodes, change or CHANGES[0])
    if not sizes:
        return None
    changed = [
        _resized(leaf, [_evaluate(size, sizes) for size in _shape(node.meta["val"])]) if isinstance(leaf, Tensor) else leaf
        for leaf, node in zip(leaves, nodes, strict=True)
    ]
    other: _Tree = _pytree.tree_unflatten(changed, spec)
    return other


def _inputs(program: Any) -> list[Any]:
    from torch.export.graph_signature import InputKind

    specs = program.graph_signature.input_specs
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    return [node for node, spec in zip(placeholders, specs, strict=True) if spec.kind is InputKind.USER_INPUT]


def _other_sizes(program: Any, nodes: list[Any], change: Change) -> dict[Any, int]:
    """Another value within its bounds for each symbol among the inputs' sizes."""
    found: dict[Any, int] = {}
    for node in nodes:
        value = node.meta.get("val")
        for size in _shape(value) if isinstance(value, Tensor) else ():
            if isinstance(size, int):
                continue
            known = size.node.shape_env.backed_var_to_val
            for symbol in size.node.expr.free_symbols - found.keys():
                bounds = program.range_constraints.get(symbol)
                for other in change(int(known[symbol])):
                    if other > 0 and (bounds is None or bounds.lower <= other <= bounds.upper):
                        found[symbol] = other
                        break
    return found


def _shape(value: Any) -> tuple[Any, ...]:
    """Numbers, and ``torch.SymInt`` where a dimension is dynamic."""
    return tuple(value.shape)


def _evaluate(size: Any, sizes: dict[Any, int]) -> int:
    if isinstance(size, int):
        return size
    known = size.node.shape_env.backed_var_to_val
    expression = size.node.expr
    return int(expression.subs({symbol: sizes.get(symbol, known[symbol]) for symbol in expression.free_symbols}))


def _resized(value: Tensor, sizes: list[int]) -> Tensor:
    for axis, size in enumerate(sizes):
        if size != value.shape[axis]:
            value = value.index_select(axis, torch.arange(size) % value.shape[axis])
    return value.contiguous()


def _last_positions(answer: Tensor, truth: Tensor) -> Tensor:
    """Of keys or values [batch, heads, positions, features] those that eager PyTorch still keeps: a sliding-window layer drops
    those before its window, and transformers' trace keeps them all behind a mask."""
    longer = answer.dim() == truth.dim() == 4 and answer.shape[2] > truth.shape[2]
    return answer[:, :, answer.shape[2] - truth.shape[2] :] if longer else answer


def _sizes(inputs: Inputs) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items() if isinstance(value, Tensor))
