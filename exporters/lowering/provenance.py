"""Where nodes come from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced


@acceleration(torch="2.13.0")
def ancestry_by_reference() -> Iterator[None]:
    """Let a node's ``from_node`` refer to the records of its ancestors, which upstream deep-copies at each retracing.

    The records form a chain that grows with every retracing, and nothing changes one after it was made; so a reference says
    what a copy says. Debug handles, which are in the file, are read from these chains.
    """
    from torch.fx import traceback

    with replaced((traceback, "copy", _CopyOfLists())):
        yield


class _CopyOfLists:
    """The module ``copy`` for ``torch.fx.traceback``, which deep-copies lists of records only: the list is new."""

    copy = staticmethod(copy.copy)

    @staticmethod
    def deepcopy(records: list[Any]) -> list[Any]:
        return list(records)
