"""What defects are made of: programs with other methods and constants, and calls of a program that are changed on their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.faults.defects import rewritten

Change = Callable[[str, Sequence[Tensor]], Sequence[Tensor]]
"""From the name of a method and what it is given, or answers, what it is given or answers instead."""


def reprogrammed(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the methods of an artifact's program, given by name as the flatbuffer has them; its account is made to fit."""
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    path = directory / "model.pte"
    file = deserialize_pte_binary(path.read_bytes())
    plans = {plan.name: plan for plan in file.program.execution_plan}
    change(plans)
    file.program.execution_plan = list(plans.values())
    path.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))
    rewritten(directory, lambda account: None)


def says(directory: Path, **constants: int) -> None:
    """Let constant methods of an artifact's program answer something else; of a list the first entry."""

    def change(plans: dict[str, Any]) -> None:
        for name, value in constants.items():
            plan = plans[name]
            stored = plan.values[plan.outputs[0]].val
            assert stored.int_val != value, f"{name} is {value} already"
            stored.int_val = value

    reprogrammed(directory, change)


def on_call(patch: pytest.MonkeyPatch, session: Any, change: Change) -> None:
    """Change what sessions of a class give their programs."""
    run = session.run
    patch.setattr(session, "run", lambda self, method, *inputs: run(self, method, *change(method, inputs)))


def on_answer(patch: pytest.MonkeyPatch, session: Any, change: Change) -> None:
    """Change what programs answer to sessions of a class."""
    run = session.run
    patch.setattr(session, "run", lambda self, method, *inputs: change(method, run(self, method, *inputs)))


def first_input(method: str, change: Callable[[Tensor], Tensor]) -> Change:
    """Changes the first input, or the first answer, of one method."""
    return lambda name, values: (change(values[0]).contiguous(), *values[1:]) if name == method else values
