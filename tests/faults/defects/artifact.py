"""Defects of an artifact: what became of a sound program and its account on disk."""

from __future__ import annotations

from tests.faults.defects import defect

SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"


@defect("artifact", SMOLLM, caught_by="stage open")
def program_truncated(directory):
    """The last tenth of the file is missing."""
    path = directory / "model.pte"
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole) // 10])
