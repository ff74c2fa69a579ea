"""``zoo check``: is a program, whoever made it, the model it is said to be? It is run in a child process, since files of others
can end one."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from conformance.checking.verdict import Row, Verdict
from conformance.errors import ConformanceError
from conformance.worker import Death, Limits, run_child

RUN = "conformance.checking.child:run"
"""What the child calls."""
FAMILIES = {
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForCTC": "automatic-speech-recognition",
}
"""By the end of an architecture's name its task; ``ForConditionalGeneration`` is told apart by the program's methods."""


@dataclass(frozen=True)
class CheckRequest:
    """What the child is told: as ``check``."""

    program: str
    checkpoint: str
    directory: str
    """Where it leaves its breadcrumbs and its output."""
    model: str
    task: str | None
    trained: bool
    max_seq_len: int | None
    threads: int


def check(
    program: Path,
    checkpoint: Path,
    *,
    task: str | None = None,
    model: str = "",
    trained: bool = True,
    max_seq_len: int | None = None,
    threads: int = 1,
    limits: Limits | None = None,
) -> Verdict:
    """Compare a program with a checkpoint in eager PyTorch.

    Args:
        program: A ``.pte``. With an ``export.json`` of its own beside it, the checkpoint is rounded as the program is, and what
            was asked for is looked for in it.
        checkpoint: A checkpoint directory.
        task: What the model does; ``None`` asks export.json, then the checkpoint.
        model: What the verdict calls the checkpoint.
        trained: Whether the weights mean something; random ones say nothing about a program that rounds.
        max_seq_len: Positions of the cache, of a program that does not say.
        threads: Threads of the runtime and of PyTorch.
        limits: Time and memory of the child.

    Raises:
        SessionError: there is no such program.
    """
    from conformance.inference.base import program_of

    path = program_of(program)
    with tempfile.TemporaryDirectory(prefix="zoo-check-") as directory:
        request = CheckRequest(
            program=os.fspath(path),
            checkpoint=os.fspath(checkpoint),
            directory=directory,
            model=model or os.fspath(checkpoint),
            task=task,
            trained=trained,
            max_seq_len=max_seq_len,
            threads=threads,
        )
        ended = run_child(RUN, request, limits=limits or Limits())
    if isinstance(ended, str):
        return Verdict.model_validate_json(ended)
    return _dead(request.program, request.model, ended)


def _dead(program: str, model: str, death: Death) -> Verdict:
    """The verdict on a program that took its process with it."""
    at, told = death.trail.current, f"; {death.stderr[-1]}" if death.stderr else ""
    message = f"{death.kind} while it was compared ({at}): {death.message}{told}"
    row = Row(check=at, result="fail", message=message)
    return Verdict(program=program, model=model, status=death.status, message=message, rows=[row])


def task_of_checkpoint(checkpoint: Path) -> str | None:
    """What a checkpoint does by its architecture's name; ``None`` where the name leaves it open.

    Raises:
        ConformanceError: its configuration cannot be read.
    """
    import json

    try:
        names = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
    except (OSError, ValueError) as error:
        raise ConformanceError(f"{checkpoint}/config.json cannot be read: {error}.") from error
    return next((task for end, task in FAMILIES.items() if names[0].endswith(end)), None)


__all__ = ["CheckRequest", "Row", "Verdict", "check", "task_of_checkpoint"]
