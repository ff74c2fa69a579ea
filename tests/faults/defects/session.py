"""Defects between a sound program and those who ask it."""

from __future__ import annotations

from conformance.sessions.executorch import ExecuTorchSession
from tests.faults.defects import defect

SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"


@defect("session", SMOLLM, caught_by="memory")
def memory_leaked_by_every_call(patch):
    """Nothing that was answered is ever let go."""
    kept, step = [], ExecuTorchSession.step

    def keeping(self, tokens, positions):
        answer = step(self, tokens, positions)
        kept.append(answer.clone())
        return answer

    patch.setattr(ExecuTorchSession, "step", keeping)
