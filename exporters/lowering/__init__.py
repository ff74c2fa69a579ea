"""The same program sooner: accelerations of upstream's lowering, each independent, reversible, and byte for byte neutral.

One file a subject. What lives here replaces functions of torch and ExecuTorch for the length of a ``with`` block; it may skip
work, or reuse it, and must not change what is emitted. Graph passes that do change the program are in ``exporters.passes``.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Iterator, Mapping

from exporters.lowering import (
    collector,
    decompositions,
    edge_passes,
    graph_code,
    partitioning,
    provenance,
    symbols,
    weights,
    xnnpack_passes,
)
from exporters.lowering.acceleration import Acceleration

ACCELERATIONS: tuple[Acceleration, ...] = (
    collector.collect_what_lowering_makes,
    graph_code.code_on_demand,
    provenance.ancestry_by_reference,
    symbols.arithmetic_of_sizes_once,
    decompositions.one_scan_of_composite_operators,
    decompositions.decompositions_with_something_to_decompose,
    edge_passes.edge_passes_with_something_to_rewrite,
    edge_passes.edge_operators_without_retracing,
    partitioning.convexity_by_bitmask,
    partitioning.topological_order_in_place,
    weights.weights_by_reference,
    xnnpack_passes.passes_with_something_to_rewrite,
)
"""In the order they are applied."""

_lock = threading.RLock()


def switched_off() -> Mapping[str, str]:
    """The accelerations that are not applied here, each with the version on which it was never checked."""
    found = {each.name: each.unchecked() for each in ACCELERATIONS}
    return {
        name: ", ".join(f"{package} {version}" for package, version in unchecked.items())
        for name, unchecked in found.items()
        if unchecked
    }


def notice() -> str | None:
    """One line for the user if accelerations are switched off, or ``None``."""
    off = switched_off()
    if not off:
        return None
    versions = ", ".join(sorted({version for reason in off.values() for version in reason.split(", ")}))
    return (
        f"lowering takes longer than it could: {len(off)} of {len(ACCELERATIONS)} accelerations were not checked on "
        f"{versions} and are switched off ({', '.join(off)}). The program is the same."
    )


@contextlib.contextmanager
def lowering(*, stock: bool = False) -> Iterator[tuple[str, ...]]:
    """Lower inside this block: with what is known to speed it up, or as upstream does.

    The replaced functions are those of the process, so only one thread is inside at a time. Accelerations that are switched
    off are warned of once in a process (``notice``).

    Args:
        stock: Apply nothing.

    Yields:
        The names of the accelerations that are applied.
    """
    off = switched_off()
    if off and not stock:
        _warn_once()
    chosen = () if stock else tuple(each for each in ACCELERATIONS if each.name not in off)
    with _lock, contextlib.ExitStack() as stack:
        for each in chosen:
            stack.enter_context(each.apply())
        yield tuple(each.name for each in chosen)


@functools.cache
def _warn_once() -> None:
    warnings.warn(str(notice()), RuntimeWarning, stacklevel=4)


__all__ = ["ACCELERATIONS", "Acceleration", "lowering", "notice", "switched_off"]
