"""Reads flatbuffers by their schemas: every offset is checked, so that a damaged file is an error and nothing worse.

The schemas are the ``.fbs`` files in the executorch wheel. Generated readers would do as well for the program, but there are
none for XNNPACK's graphs, and they neither check what they read nor stop at its end.

The layout is that of https://flatbuffers.dev/internals: a table begins with the distance back to its vtable, which holds the
place of each field in the table, 0 for one that is not there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_SCALARS: Mapping[str, str] = {
    "bool": "?",
    "byte": "b",
    "ubyte": "B",
    "int8": "b",
    "uint8": "B",
    "short": "h",
    "ushort": "H",
    "int16": "h",
    "uint16": "H",
    "int": "i",
    "uint": "I",
    "int32": "i",
    "uint32": "I",
    "long": "q",
    "ulong": "Q",
    "int64": "q",
    "uint64": "Q",
    "float": "f",
    "float32": "f",
    "double": "d",
    "float64": "d",
}


class FlatbufferError(ValueError):
    """The bytes do not follow their schema."""


@dataclass(frozen=True)
class Field:
    """One field of a table."""

    slot: int
    """Its place in the vtable; of a union the value's, and the type's is the one before."""
    type: str
    vector: bool
    default: str


@dataclass
class Schema:
    """The tables, enums and unions of a schema."""

    tables: dict[str, dict[str, Field]] = field(default_factory=dict)
    enums: dict[str, tuple[str, dict[int, str]]] = field(default_factory=dict)
    """The scalar an enum is stored as, and its values' names."""
    unions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Name and table of each member; the first one has the type 1."""

    @classmethod
    def parse(cls, *texts: str) -> Schema:
        """Read schemas; what one includes is given beside it."""
        blocks = []
        for text in texts:
            plain = re.sub(r"//[^\n]*", "", text)
            blocks += re.findall(r"\b(table|enum|union)\s+(\w+)\s*(?::\s*(\w+)\s*)?\{([^}]*)\}", plain)
        schema = cls()
        for kind, name, base, body in blocks:
            if kind == "enum":
                schema.enums[name] = base, _enum_values(body)
            elif kind == "union":
                members = [part.partition(":") for part in map(str.strip, body.split(",")) if part]
                schema.unions[name] = [(one.strip(), (other or one).strip()) for one, _, other in members]
        for kind, name, _, body in blocks:
            if kind == "table":
                schema.tables[name] = schema._fields(body)
        return schema

    def _fields(self, body: str) -> dict[str, Field]:
        found: dict[str, Field] = {}
        slot = 0
        for line in filter(None, map(str.strip, body.split(";"))):
            match = re.match(r"(\w+)\s*:\s*(\[?)\s*(\w+)\s*\]?\s*(?:=\s*([\w.+-]+))?", line)
            if match is None:
                raise FlatbufferError(f"the schema has a field that cannot be read: {line!r}")
            name, vector, type_, default = match.groups()
            slot += type_ in self.unions
            found[name] = Field(slot, type_, bool(vector), default or "0")
            slot += 1
        return found


def _enum_values(body: str) -> dict[int, str]:
    values: dict[int, str] = {}
    following = 0
    for part in filter(None, map(str.strip, body.split(","))):
        name, _, number = part.partition("=")
        following = int(number, 0) if number.strip() else following
        values[following] = name.strip()
        following += 1
    return values


@dataclass(frozen=True)
class Union:
    """The value of a union."""

    member: str | None
    """The member's name; ``None`` of one that the schema does not know."""
    table: Table | None


@dataclass(frozen=True)
class Bytes:
    """A vector of bytes, where it lies."""

    start: int
    size: int


class Buffer:
    """A flatbuffer and its schema.

    Args:
        data: The buffer from its first byte on.
        schema: What it follows.
        root: The table it begins with.
    """

    def __init__(self, data: bytes, schema: Schema, root: str) -> None:
        self.data = data
        self.schema = schema
        # Tables that lie in each other many times over would make a small file endless to read.
        self._left = 1000 + 16 * len(data)
        self.root = self.table(root, self.number("I", 0))

    def number(self, code: str, position: int) -> Any:
        """The scalar at a position.

        Raises:
            FlatbufferError: it lies outside of the buffer.
        """
        if position < 0:
            raise FlatbufferError(f"an offset leads to byte {position}")
        try:
            return struct.unpack_from(f"<{code}", self.data, position)[0]
        except struct.error as error:
            raise FlatbufferError(f"an offset leads to byte {position} of {len(self.data)}") from error

    def follow(self, position: int) -> int:
        """Where the offset at a position leads."""
        return int(position + self.number("I", position))

    def table(self, name: str, position: int) -> Table:
        self._left -= 1
        if self._left < 0:
            raise FlatbufferError("its tables lie in each other more often than its size allows")
        return Table(self, name, position)

    def text(self, position: int) -> str:
        span = self.span(position, 1)
        return self.data[span.start : span.start + span.size].decode("utf-8", errors="replace")

    def span(self, position: int, width: int) -> Bytes:
        """The vector that the offset at a position leads to: its first byte, and its size in bytes."""
        start = self.follow(position)
        size = int(self.number("I", start)) * width
        if start + 4 + size > len(self.data):
            raise FlatbufferError(f"a list of {size} bytes at byte {start} passes the end ({len(self.data)} bytes)")
        return Bytes(start + 4, size)


class Table:
    """A table of a buffer; ``table["field"]`` reads a field, the default or an empty value where it is absent."""

    def __init__(self, buffer: Buffer, name: str, position: int) -> None:
        self._buffer = buffer
        self._name = name
        self._position = position
        self._vtable = position - buffer.number("i", position)
        self._size = buffer.number("H", self._vtable)

    def __contains__(self, name: str) -> bool:
        """Whether the field was written."""
        return self._place(self._field(name).slot) is not None

    def __getitem__(self, name: str) -> Any:
        wanted = self._field(name)
        schema, buffer = self._buffer.schema, self._buffer
        place = self._place(wanted.slot)
        if wanted.vector:
            return [] if place is None else list(self._items(wanted.type, place))
        if wanted.type in schema.unions:
            return self._union(wanted, place)
        if wanted.type in schema.tables:
            return None if place is None else buffer.table(wanted.type, buffer.follow(place))
        if wanted.type == "string":
            return None if place is None else buffer.text(place)
        return self._scalar(wanted, place)

    def bytes_of(self, name: str) -> Bytes:
        """Where a vector of bytes lies, without reading it."""
        place = self._place(self._field(name).slot)
        return Bytes(0, 0) if place is None else self._buffer.span(place, 1)

    def _field(self, name: str) -> Field:
        return self._buffer.schema.tables[self._name][name]

    def _place(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self._size:
            return None
        offset = self._buffer.number("H", self._vtable + entry)
        return self._position + offset if offset else None

    def _scalar(self, wanted: Field, place: int | None) -> Any:
        enum = self._buffer.schema.enums.get(wanted.type)
        if enum is None:
            return _default(wanted) if place is None else self._buffer.number(_SCALARS[wanted.type], place)
        stored, names = enum
        if place is None:
            return wanted.default if wanted.default in names.values() else names.get(int(wanted.default), "unknown(0)")
        value = self._buffer.number(_SCALARS[stored], place)
        return names.get(value, f"unknown({value})")

    def _union(self, wanted: Field, place: int | None) -> Union:
        kind = self._place(wanted.slot - 1)
        number = 0 if kind is None else self._buffer.number("B", kind)
        if not number or place is None:
            return Union("NONE", None)
        members = self._buffer.schema.unions[wanted.type]
        if number > len(members):
            return Union(None, None)
        name, table = members[number - 1]
        return Union(name, self._buffer.table(table, self._buffer.follow(place)))

    def _items(self, type_: str, place: int) -> Iterator[Any]:
        buffer = self._buffer
        if type_ in _SCALARS:
            code = _SCALARS[type_]
            span = buffer.span(place, struct.calcsize(code))
            yield from (value for (value,) in struct.iter_unpack(f"<{code}", buffer.data[span.start : span.start + span.size]))
            return
        span = buffer.span(place, 4)
        for position in range(span.start, span.start + span.size, 4):
            if type_ == "string":
                yield buffer.text(position)
            else:
                yield buffer.table(type_, buffer.follow(position))


def _default(wanted: Field) -> Any:
    if wanted.type == "bool":
        return wanted.default == "true"
    return float(wanted.default) if wanted.type in ("float", "double") else int(wanted.default)
