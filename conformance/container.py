"""How much memory there is: the machine's, or what a container leaves of it."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path, PurePosixPath

import psutil


@functools.cache
def usable_bytes() -> int:
    """Memory of the machine; of the container, or whatever control group this process is in, where that has less."""
    return min([int(psutil.virtual_memory().total), *group_limits()])


def group_limits(root: Path = Path("/")) -> list[int]:
    """What the control groups of this process allow it in bytes (Linux, both versions); of those that have a limit.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    found = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            place = root / "sys/fs/cgroup" / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            # A group has its ancestors' limits, too. A container may see its own group as the root, by whatever name.
            for above in (PurePosixPath(group), *PurePosixPath(group).parents):
                with contextlib.suppress(OSError, ValueError):
                    found.append(int((place / above.relative_to("/") / name).read_text(encoding="ascii")))
    return found


__all__ = ["group_limits", "usable_bytes"]
