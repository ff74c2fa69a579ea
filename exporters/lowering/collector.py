"""Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from exporters.lowering.acceleration import acceleration


@acceleration(torch="2.13.0")
def collect_what_lowering_makes() -> Iterator[None]:
    """Keep what exists before lowering (the imported stack: half a million objects) out of every collection.

    What lowering makes is collected as always, so memory is returned as always. Collections change no value.
    """
    if gc.get_freeze_count():  # somebody else keeps objects out; unfreezing would undo that
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
