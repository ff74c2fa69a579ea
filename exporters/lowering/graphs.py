"""What several accelerations ask of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def has_submodules(module: Any) -> bool:
    """Whether a graph module holds others: branches and bodies of control flow, which passes go into."""
    from torch.fx import GraphModule

    return any(isinstance(child, GraphModule) for child in module.children())


def operators(module: Any) -> Iterator[Any]:
    """The nodes that call an operator of torch."""
    from torch._ops import OpOverload

    return (node for node in module.graph.nodes if node.op == "call_function" and isinstance(node.target, OpOverload))
