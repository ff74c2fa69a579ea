"""What is told of a program: the JSON of ``zoo inspect --format json``. Keys keep their names; new ones may be added."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PartKind = Literal["program", "constants", "mutable", "delegate", "named data", "unreferenced", "padding"]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Facts):
    """The ``.pte``."""

    name: str
    bytes: int
    sha256: str
    identifier: str
    """The four characters that name the schema, such as ``ET12``."""


class Delegation(_Facts):
    """How much of a method, or of the graphs an export began with, runs in delegates."""

    delegated: int
    """Operators in delegates; of a program as its delegates store them, where several may have become one."""
    undelegated: int
    """Calls of kernels, without those that only move shapes (``executorch_prim``)."""
    share: float
    """Of 0 to 1."""


class Account(_Facts):
    """The ``export.json`` beside the file."""

    matches: bool
    """Whether it is of this very file: size and checksum."""
    message: str
    """What is wrong; empty where it matches."""
    configuration_id: str | None = None
    model_type: str | None = None
    task: str | None = None
    versions: dict[str, str] = {}
    delegation: Delegation | None = None
    """Counted in the graphs before delegates fused their operators, of all methods together."""


class Value(_Facts):
    """An input or an output."""

    kind: str
    """``tensor``, ``int``, ``bool``, ``double``, ``string``, ``tensor_list`` ..., or ``none``."""
    dtype: str | None = None
    """As torch names it, such as ``int64``; of tensors only."""
    shape: list[int] | None = None
    """Of a shape that is bounded, the largest it may have; the program does not say which of the dimensions vary."""
    dynamism: Literal["static", "bounded", "unbounded"] | None = None
    planned: bool | None = None
    """Whether planned memory holds it: an input is then copied on each call."""
    value: Any = None
    """Of an output that is a constant."""


class Operator(_Facts):
    """An operator that a method calls outside of delegates."""

    name: str
    """Such as ``aten::add.out``."""
    library: str | None
    """The kernel library that registers it; ``None`` where this is not known."""
    calls: int


class Weights(_Facts):
    """Stored tensors of one type in one place."""

    place: Literal["constants", "mutable", "XNNPACK", "external"]
    """``constants`` and ``mutable``: the program's own; ``XNNPACK``: in its delegates; ``external``: in another file."""
    dtype: str
    """Of the program's own tensors as torch names it; packed 4-bit weights are ``uint8`` there. Of XNNPACK's as XNNPACK does:
    ``qcint4`` has one scale a channel, ``qbint4`` one a group."""
    role: Literal["tensor", "scales"]
    tensors: int
    bytes: int


class Delegate(_Facts):
    """A delegate of a method."""

    backend: str
    calls: int
    bytes: int
    """What it was given, without named data that it shares with others."""
    compile_specs: list[str]
    nodes: dict[str, int] | None = None
    """Operators in it by kind; ``None`` of backends whose graphs are not read."""
    weights_bytes: int | None = None
    """Of its constants, wherever they are stored; some may belong to other delegates, too."""
    unread: str | None = None
    """Why its graph was not read."""


class Memory(_Facts):
    """One buffer of planned memory."""

    id: int
    bytes: int
    device: str


class Method(_Facts):
    """An entry point."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    instructions: dict[str, int]
    """``kernel``, ``delegate``, ``move``, ``jump``, ``free`` and how many there are."""
    operators: list[Operator]
    delegates: list[Delegate]
    delegation: Delegation | None
    """Counted in this program; ``None`` where a delegate's graph is not read."""
    memory: list[Memory]


class Part(_Facts):
    """A stretch of the file."""

    kind: PartKind
    name: str
    """What it is, or whom it belongs to; of named data its key."""
    content: str | None = None
    """Of named data that XNNPACK's delegates use: the type of its numbers, such as ``qbint4``."""
    offset: int
    bytes: int


class Inspection(_Facts):
    """All of it."""

    schema_version: Literal[1] = 1
    file: File
    account: Account | None
    """``None`` where no ``export.json`` lies beside the file."""
    methods: list[Method]
    constant_methods: dict[str, Any]
    """Methods that only answer a value: name and value, a list where there are several."""
    weights: list[Weights]
    parts: list[Part]
    """In the file's order; together they are the whole file."""

    def bytes_by_kind(self) -> dict[str, int]:
        """Bytes of each kind of part that there is, most first."""
        found: dict[str, int] = {}
        for part in self.parts:
            found[part.kind] = found.get(part.kind, 0) + part.bytes
        return dict(sorted(found.items(), key=lambda item: -item[1]))
