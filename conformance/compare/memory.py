"""Whether the calls of a program leave memory behind."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import statistics
from collections.abc import Callable

import psutil

from conformance.record import Check

WARM_UP = 1
ROUNDS = 5
CALLS = 8
"""In a round, at least. glibc takes freed pieces of a size by the seven for a thread, and counts them as allocated from then
on: of eight calls that keep one each, one shows for all."""
MOST_BYTES = 128
"""That may stay allocated a call. The smallest tensor that is not let go takes more (64 bytes of data, and some hundreds around
them); sound programs were seen to keep 0 to 60 bytes, which is Python at work."""
_PAGE = 4096


def check_memory(work: Callable[[], object], *, calls: int) -> Check:
    """Call a program again and again, and see whether what is allocated grows each time.

    Args:
        work: Some calls, always the same.
        calls: How many calls of the program that is.
    """
    times = math.ceil(CALLS / calls)
    allocated = [0.0] * (WARM_UP + ROUNDS + 1)  # made beforehand: it is not to grow itself
    held, precision = _held()
    for index in range(len(allocated)):
        for _ in range(times):
            work()
        allocated[index] = held()
    growth = [after - before for before, after in itertools.pairwise(allocated[WARM_UP:])]
    kept = statistics.median(growth) / (times * calls)
    limit = max(MOST_BYTES, precision)
    leaks = kept > limit
    message = f"every call leaves {kept:.0f} bytes allocated" if leaks else f"calls leave at most {limit} bytes allocated"
    counted = times * calls * ROUNDS
    metrics = {"calls": counted, "limit_bytes": limit} | ({"bytes_per_call": kept} if leaks else {})
    return Check(status="fail" if leaks else "pass", message=f"{message}, in {counted} calls", metrics=metrics)


class _Mallinfo2(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]
    ]


@functools.cache
def _held() -> tuple[Callable[[], float], int]:
    """What tells how many bytes are allocated, and how exactly. glibc counts them (2.33 and later); elsewhere it is the
    resident memory, in pages."""
    try:
        count = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        process = psutil.Process()
        return (lambda: float(process.memory_info().rss)), _PAGE
    count.restype = _Mallinfo2

    def allocated() -> float:
        found = count()
        return float(found.uordblks + found.hblkhd)

    return allocated, 1
