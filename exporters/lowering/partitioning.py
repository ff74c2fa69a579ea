"""Finding partitions and cutting them out."""

from __future__ import annotations

import collections
import functools
import operator
from collections.abc import Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced


@acceleration(executorch="1.4.1", torch="2.13.0")
def convexity_by_bitmask() -> Iterator[None]:
    """Ask by bit masks over the nodes whether two partitions may be merged, not by sets of nodes.

    Upstream holds for each node the set of all nodes before it and, twice, of those after it, and builds the union of two
    partitions anew for each pair of them. Here a node is a bit, its descendants are an integer, and the same question (does
    a path leave the union and come back?) is the ``and`` of two integers. Its answer is the same; the order in which pairs
    are tried and merged, and the last check of each merger, stay upstream's.
    """
    from executorch.exir.backend.canonical_partitioners import group_partitioner
    from torch.fx.passes.infra import partitioner
    from torch.fx.passes.utils.fuser_utils import validate_partition

    stock = partitioner._DependencyViewer

    class WhenAsked:
        """The sets of torch's own partitioner, which ExecuTorch's inherits and replaces."""

        def __init__(self, graph_module: Any) -> None:
            self._graph_module = graph_module

        @functools.cached_property
        def downstreams_of(self) -> Any:
            return stock(self._graph_module).downstreams_of

    def _can_merge_partitions(self: Any, p1: int, p2: int, partitions_by_id: dict[int, Any]) -> bool:
        first, second = partitions_by_id[p1], partitions_by_id[p2]
        if self.dependency_viewer.returns_to(first, second):
            return False
        return bool(validate_partition([*first.nodes, *second.nodes]))

    with replaced(
        (partitioner, "_DependencyViewer", WhenAsked),
        (group_partitioner, "_DependencyViewer", _Dependencies),
        (group_partitioner.GroupBasedPartitioner, "_can_merge_partitions", _can_merge_partitions),
    ):
        yield


class _Dependencies:
    """Which nodes of a graph come after which: each node is a bit."""

    def __init__(self, graph_module: Any) -> None:
        nodes = list(graph_module.graph.nodes)
        self._bit = {node: 1 << index for index, node in enumerate(nodes)}
        self._users = dict.fromkeys(nodes, 0)
        self._descendants = [0] * len(nodes)
        for index in reversed(range(len(nodes))):
            for user in nodes[index].users:
                bit = self._bit[user]
                self._users[nodes[index]] |= bit
                self._descendants[index] |= bit | self._descendants[bit.bit_length() - 1]
        self._masks: dict[int, tuple[int, int, int]] = {}

    def returns_to(self, *partitions: Any) -> bool:
        """Whether a path leaves the union of partitions and comes back."""
        members = users = 0
        for partition in partitions:
            mask = self._partition(partition)
            members |= mask[0]
            users |= mask[1]
        outside = users & ~members
        while outside:
            lowest = outside & -outside
            if self._descendants[lowest.bit_length() - 1] & members:
                return True
            outside ^= lowest
        return False

    def _partition(self, partition: Any) -> tuple[int, int]:
        """The nodes of a partition, which only ever grows, and their users."""
        size, members, users = self._masks.get(partition.id, (0, 0, 0))
        if size != len(partition.nodes):
            for node in partition.nodes:
                members |= self._bit[node]
                users |= self._users[node]
            self._masks[partition.id] = len(partition.nodes), members, users
        return members, users


@acceleration(executorch="1.4.1", torch="2.13.0")
def topological_order_in_place() -> Iterator[None]:
    """Reorder the nodes of a graph where upstream copies the whole graph in the new order, once for every partition.

    The order comes from the same walk: breadth first, from the nodes without inputs, assertions and arithmetic of sizes
    before the rest. What else a copy changes is done, too: the users of each node stand in the order of the nodes.
    """
    from executorch.exir import lowered_backend_module

    stock = lowered_backend_module.legalize_graph
    urgent = _urgent_operators()

    def legalize_graph(graph_module: Any) -> Any:
        graph = graph_module.graph
        nodes = list(graph.nodes)
        waiting_for = dict.fromkeys(nodes, 0)
        for node in nodes:
            for user in node.users:
                waiting_for[user] += 1
        queue = collections.deque(node for node in nodes if not waiting_for[node])
        ordered = []
        while queue:
            node = queue.popleft()
            ordered.append(node)
            for user in node.users:
                waiting_for[user] -= 1
                if not waiting_for[user]:
                    if user.op == "call_function" and user.target in urgent:
                        queue.appendleft(user)
                    else:
                        queue.append(user)
        if len(ordered) < len(nodes):
            return stock(graph_module)  # there is a cycle, and upstream's error for it
        if ordered != nodes:
            for node in ordered:
                graph._root.prepend(node)
        _order_users(ordered)
        return graph_module

    with replaced((lowered_backend_module, "legalize_graph", legalize_graph)):
        yield


def _urgent_operators() -> frozenset[Any]:
    """Those that ``torch.fx.passes.tools_common.legalize_graph`` puts first (torch 2.13.0)."""
    import torch

    aten = torch.ops.aten
    arithmetic = ("add", "mul", "sub", "floordiv", "truediv", "mod", "le", "lt", "ge", "gt", "eq", "ne")
    return frozenset(
        (
            *(getattr(operator, name) for name in arithmetic),
            aten.sym_constrain_range.default,
            aten.sym_constrain_range_for_size.default,
            aten._assert_async.msg,
            aten.scalar_tensor.default,
            aten._assert_scalar.default,
        )
    )


def _order_users(nodes: list[Any]) -> None:
    users: dict[Any, dict[Any, None]] = {node: {} for node in nodes}
    for node in nodes:
        for source in node.all_input_nodes:
            users[source][node] = None
    for node, ordered in users.items():
        node.users = ordered
