"""The layout of a program, whoever exported it: read off the file, without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.sessions.protocol import SessionError

LONG, HALF, FLOAT, BFLOAT16 = 4, 5, 6, 15
"""ExecuTorch's ``ScalarType`` numbers."""
FLOATS = (HALF, FLOAT, BFLOAT16)
TOKENS, MASK, POSITIONS, STATES, PIXELS, SOUND, OTHER = "tokens", "mask", "positions", "states", "pixels", "sound", "other"
"""What an input may be."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output of a method."""

    sizes: tuple[int, ...]
    """The largest it may have."""
    dtype: int
    """ExecuTorch's ``ScalarType``."""
    dynamic: bool
    """Whether it may be smaller."""

    def __str__(self) -> str:
        name = {LONG: "int64", HALF: "float16", FLOAT: "float32", BFLOAT16: "bfloat16"}.get(self.dtype, f"type {self.dtype}")
        return f"{name}[{', '.join(map(str, self.sizes))}{' at most' if self.dynamic else ''}]"


@dataclass(frozen=True)
class Method:
    """An entry point."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """What each input is, by its type and its dimensions."""
        found: list[str] = []
        for each in self.inputs:
            kind = (each.dtype in FLOATS, len(each.sizes))
            if each.dtype == LONG and len(each.sizes) == 2:
                found.append(TOKENS if TOKENS not in found else MASK)
            elif each.dtype == LONG and len(each.sizes) == 1:
                found.append(POSITIONS)
            else:
                found.append({(True, 3): STATES, (True, 4): PIXELS, (True, 2): SOUND}.get(kind, OTHER))
        return tuple(found)

    def input(self, role: str) -> TensorInfo:
        """The input of a role."""
        return self.inputs[self.roles.index(role)]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.inputs))}) -> {', '.join(map(str, self.outputs))}"


@dataclass(frozen=True)
class Layout:
    """What a program has."""

    methods: Mapping[str, Method]
    """Entry points: methods that take something."""
    constants: tuple[str, ...]
    """Methods that take nothing."""
    operators: frozenset[str]
    """Outside of delegates."""
    data_bytes: int
    """The file without the program in it: weights and what delegates were given."""

    @property
    def kind(self) -> str | None:
        """``decoder`` (with a KV cache), ``no cache``, ``encoder-decoder``, ``multimodal``, ``text``, ``image``, ``sound``;
        ``None`` of none of these."""
        names = self.methods.keys()
        if {"token_embedding", "text_decoder"} <= names and names & {"vision_encoder", "audio_encoder"}:
            return "multimodal"
        if {"encoder", "text_decoder"} <= names:
            return "encoder-decoder"
        if "forward" not in names:
            return None
        roles = self.methods["forward"].roles
        return {
            (TOKENS, POSITIONS): "decoder",
            (TOKENS,): "text",
            (TOKENS, MASK): "text",
            (PIXELS,): "image",
            (SOUND,): "sound",
        }.get(roles)


def read_layout(path: Path) -> Layout:
    """The layout of a file.

    Raises:
        SessionError: it cannot be parsed.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    from exporters.artifact import HEADER_BYTES, program_parts

    data = path.read_bytes()
    try:
        program: Any = deserialize_pte_binary(data)
        program = getattr(program, "program", program)
        methods, constants, operators = {}, [], set[str]()
        for plan in program.execution_plan:
            if not plan.inputs:
                constants.append(plan.name)
                continue
            methods[plan.name] = Method(_infos(plan, plan.inputs), _infos(plan, plan.outputs))
            operators |= {operator.name for operator in plan.operators}
    except Exception as error:
        raise SessionError(f"{path} cannot be parsed: {type(error).__name__}: {error}.") from error
    return Layout(
        methods, tuple(sorted(constants)), frozenset(operators), len(data) - program_parts(data[:HEADER_BYTES]).program
    )


def _infos(plan: Any, places: Any) -> tuple[TensorInfo, ...]:
    values = (plan.values[index].val for index in places)
    return tuple(
        TensorInfo(tuple(value.sizes), int(value.scalar_type), int(value.shape_dynamism) != 0)
        for value in values
        if hasattr(value, "sizes")
    )
