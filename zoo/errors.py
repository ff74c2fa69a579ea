"""The error a user of the registry, the twins or the checkpoints may see: one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """Something the caller can put right: the message names the value, what is allowed and what to do next."""


class ResourceError(ZooError):
    """Something that the work needs is not to be had: space on a disk, a cache that can be written. The work itself is not to
    blame: a cell that meets this is ``blocked``."""


def unknown(kind: str, value: str, allowed: Iterable[str], *, hint: str = "") -> ZooError:
    """An error for a name that is not in ``allowed``, with the nearest valid ones.

    ``kind`` is the noun the message uses ("model", "task"); ``hint`` is the next command to type.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(value, names, n=3, cutoff=0.4)
    parts = [f"unknown {kind} {value!r}."]
    if near:
        parts.append("Did you mean " + " or ".join(repr(name) for name in near) + "?")
    else:
        parts.append("Known: " + (", ".join(names) or "none") + ".")
    if hint:
        parts.append(hint)
    return ZooError(" ".join(parts))
