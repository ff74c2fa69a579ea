"""Decomposing operators."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.lowering.graphs import has_submodules, operators
from exporters.workarounds import replaced


@acceleration(torch="2.13.0")
def one_scan_of_composite_operators() -> Iterator[None]:
    """Ask the dispatcher for its composite operators once for a decomposition table, not once for every namespace.

    The scan makes these operators known to ``torch.ops``. Nothing is registered between the namespaces of one table.
    """
    from torch._export import utils
    from torch.export import decomp_utils, exported_program

    scan, collect = utils._materialize_cpp_cia_ops, utils._collect_all_valid_cia_ops

    def collect_once() -> Any:
        scanned = False

        def scan_once() -> None:
            nonlocal scanned
            if not scanned:
                scan()
                scanned = True

        with replaced((utils, "_materialize_cpp_cia_ops", scan_once)):
            return collect()

    name = "_collect_all_valid_cia_ops"
    with replaced(*((module, name, collect_once) for module in (utils, decomp_utils, exported_program))):
        yield


@acceleration(torch="2.13.0")
def decompositions_with_something_to_decompose() -> Iterator[None]:
    """Return a program that was decomposed before, if it holds no operator that this table decomposes.

    ExecuTorch decomposes a program once to make it functional and once or twice for each partitioner, with tables that differ
    in what the partitioner wants kept. After the second time there is mostly nothing left: tracing the program again gives
    the same operators in the same order. An operator that is still there although the last table had it (``sym_size``, which
    is what tracing makes of a size) is not decomposed by its entry.
    """
    from torch._export.utils import _is_cia_op, _is_preservable_cia_op
    from torch.export import ExportedProgram

    stock = ExportedProgram.run_decompositions
    survivors: weakref.WeakKeyDictionary[Any, set[Any]] = weakref.WeakKeyDictionary()
    # Of each program that was decomposed in this block: the operators that its table had and that are still there.

    def called(program: Any) -> set[Any]:
        return {node.target for node in operators(program.graph_module)}

    def decomposes(table: Any, target: Any) -> bool:
        always = _is_cia_op(target) and not _is_preservable_cia_op(target)
        return target in table or target._schema.is_mutable or always

    def run_decompositions(self: Any, decomp_table: Any = None, decompose_custom_triton_ops: bool = False) -> Any:
        if (
            self in survivors
            and decomp_table is not None
            and not has_submodules(self.graph_module)
            and not any(decomposes(decomp_table, target) for target in called(self) - survivors[self])
        ):
            return self
        result = stock(self, decomp_table, decompose_custom_triton_ops)
        survivors[result] = called(result) & set(decomp_table or ())
        return result

    with replaced((ExportedProgram, "run_decompositions", run_decompositions)):
        yield
