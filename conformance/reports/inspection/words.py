"""How facts of a program are said."""

from __future__ import annotations

import collections
from typing import Any

from exporters.inspection.facts import Inspection, Method, Value

KINDS = {
    "program": "the program itself: methods, graphs, shapes",
    "constants": "constants of operators outside of delegates",
    "mutable": "initial states",
    "delegate": "what delegates were given: their graphs, and constants that are theirs alone",
    "named data": "weights that delegates share by name",
    "unreferenced": "nothing in the program refers to it",
    "padding": "between parts, so that they can be mapped",
}
"""Kinds of parts, and what they hold."""

SHARES = (
    "The share in this program counts operators as its delegates store them, fused and with conversions between types, against "
    "calls of kernels; the share at export counts operators of the graph before it was delegated."
)


def plain(text: object) -> str:
    """A text without what a terminal would act on: names in a file are data."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def size(count: int) -> str:
    """A size, such as ``1.4 MiB``."""
    for unit, width in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count} B"


def value(one: Value) -> str:
    """An input or output, such as ``int64 [1, 64] at most``."""
    if one.kind != "tensor":
        return one.kind if one.value is None else f"{one.kind} {one.value}"
    limit = {"bounded": " at most", "unbounded": " of any size"}.get(one.dynamism or "", "")
    return f"{one.dtype} {one.shape}{limit}"


def delegated(method: Method) -> str:
    """How much of a method runs in delegates."""
    if not method.delegates:
        return "no delegates"
    if method.delegation is None:
        unread = next(delegate for delegate in method.delegates if delegate.nodes is None)
        return f"unknown: {plain(unread.backend)}: {plain(unread.unread)}"
    found = method.delegation
    return f"{found.share:.0%} ({found.delegated} in delegates, {found.undelegated} outside)"


def account(found: Inspection) -> str:
    """What the export.json beside the file says of it."""
    if found.account is None:
        return "no export.json beside it"
    if not found.account.matches:
        return f"export.json beside it does not vouch for it: {plain(found.account.message)}"
    return plain(f"as in export.json: {found.account.model_type}, {found.account.task}, {found.account.configuration_id}")


def inner_operators(method: Method) -> dict[str, int]:
    """Operators in a method's delegates, as often as they are called; most first."""
    counts: collections.Counter[str] = collections.Counter()
    for delegate in method.delegates:
        for name, count in (delegate.nodes or {}).items():
            counts[name] += count * delegate.calls
    return dict(counts.most_common())


def backends(method: Method) -> dict[str, tuple[int, int]]:
    """Delegates of a method by backend: how many, and their bytes."""
    found: dict[str, tuple[int, int]] = {}
    for delegate in method.delegates:
        count, total = found.get(delegate.backend, (0, 0))
        found[delegate.backend] = count + 1, total + delegate.bytes
    return found


def planned(method: Method) -> int:
    """Bytes of planned memory."""
    return sum(buffer.bytes for buffer in method.memory)


def answer(found: Any) -> str:
    """What a constant method answers."""
    return plain(", ".join(map(str, found)) if isinstance(found, list) else found)
