"""Symbolic sizes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced

PLAIN = (int, float, bool, type(None))
OPERATIONS = ("add", "sub", "mul", "eq", "ne", "gt", "lt", "ge", "le")


@acceleration(torch="2.13.0")
def arithmetic_of_sizes_once() -> Iterator[None]:
    """Remember sums, products and comparisons of symbolic sizes.

    Each tensor that is traced computes its number of elements and its contiguity, which multiplies and compares the same few
    sizes again. A result is a function of the two expressions, their types and hints, and is not changed afterwards; it is
    remembered for the shape environment that the sizes belong to. While operations on sizes are themselves being traced, or
    recorded for validation, nothing is remembered.
    """
    from torch.fx.experimental.proxy_tensor import get_proxy_mode
    from torch.fx.experimental.sym_node import SymNode

    environments: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    def remembering(name: str, stock: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def operation(self: Any, other: Any) -> Any:
            environment = self.shape_env
            if (
                environment is None
                or environment._translation_validation_enabled
                or get_proxy_mode()
                or not isinstance(self._hint, PLAIN)
                or not isinstance(other._hint, PLAIN)
            ):
                return stock(self, other)
            known = environments.setdefault(environment, {})
            key = (name, *_identity(self), *_identity(other))
            if key not in known:
                known[key] = stock(self, other)
            return known[key]

        return operation

    def _identity(node: Any) -> tuple[Any, ...]:
        return node.expr, node.pytype, type(node._hint), node._hint, node.constant, node._optimized_summation

    with replaced(*((SymNode, f"_{name}", remembering(name, getattr(SymNode, f"_{name}"))) for name in OPERATIONS)):
        yield
