"""Damaged programs: each is a sound ``.pte`` with one thing wrong, the same one whenever it is asked for.

Where things lie is read off the program with ``exporters.inspection``, by ExecuTorch's own schema: what a mutant hits is known.
"""

import functools
import os
import random
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conformance import cli
from exporters.inspection import inspect
from exporters.inspection.flatbuffer import _SCALARS, Buffer, Table
from exporters.inspection.program import _program_schema

KINDS: "dict[str, Callable[[random.Random, Sound], tuple[int, bytes] | bytes]]" = {}
"""By name what makes a mutant: the bytes to write and where, or the whole file."""


@dataclass(frozen=True)
class Place:
    """Bytes of the flatbuffer that have a meaning."""

    name: str
    """The field, as ``Tensor.scalar_type``; of vtables and offsets what they lead to."""
    offset: int
    code: str
    """As ``struct`` has it."""


@dataclass
class Sound:
    """A program that is to be damaged, and where things lie in it."""

    name: str
    path: Path
    data: bytes
    parts: tuple = ()
    """What ``zoo inspect`` says the file consists of."""
    places: dict[str, list[Place]] = field(default_factory=dict)
    """By kind: ``vtable``, ``offset``, ``length``, ``number``, ``enum``, ``text``."""

    @classmethod
    def read(cls, name, path):
        data = path.read_bytes()
        sound = cls(name, path, data, tuple(inspect(path).parts))
        found = _Places()
        found.table(Buffer(data, _program_schema(), "Program").root, "Program")
        sound.places = found.kinds
        return sound

    def spans(self, *kinds):
        """Start and size of the parts of a kind."""
        return [(part.offset, part.bytes) for part in self.parts if part.kind in kinds]


class _Places:
    """Collects places while it walks over a flatbuffer."""

    def __init__(self):
        self.kinds = {}
        self._seen = set()

    def add(self, kind, name, offset, code):
        self.kinds.setdefault(kind, []).append(Place(name, offset, code))

    def table(self, table, name):
        buffer, position = table._buffer, table._position
        if position in self._seen:
            return
        self._seen.add(position)
        self.add("vtable", f"{name}: distance", position, "i")
        for field_name, wanted in buffer.schema.tables[name].items():
            place = table._place(wanted.slot)
            if place is None:
                continue
            self.add("vtable", f"{name}.{field_name}", table._vtable + 4 + 2 * wanted.slot, "H")
            self._field(buffer, f"{name}.{field_name}", wanted, place, table)

    def _field(self, buffer, name, wanted, place, table):
        schema = buffer.schema
        if wanted.vector:
            self._vector(buffer, name, wanted.type, place)
        elif wanted.type in schema.unions:
            kind = table._place(wanted.slot - 1)
            self.add("enum", f"{name}: type", kind, "B")
            self.add("offset", name, place, "I")
            member, value = schema.unions[wanted.type][buffer.data[kind] - 1][1], buffer.follow(place)
            self.table(Table(buffer, member, value), member)
        elif wanted.type in schema.tables:
            self.add("offset", name, place, "I")
            self.table(Table(buffer, wanted.type, buffer.follow(place)), wanted.type)
        elif wanted.type == "string":
            self._string(buffer, name, place)
        elif wanted.type in schema.enums:
            self.add("enum", name, place, _SCALARS[schema.enums[wanted.type][0]])
        else:
            self.add("number", name, place, _SCALARS[wanted.type])

    def _vector(self, buffer, name, type_, place):
        start = buffer.follow(place)
        self.add("offset", name, place, "I")
        self.add("length", name, start, "I")
        count = buffer.number("I", start)
        if type_ in _SCALARS:
            code = _SCALARS[type_]
            for index in range(min(count, 16)):
                self.add("number", name, start + 4 + index * struct.calcsize(code), code)
            return
        for at in range(start + 4, start + 4 + 4 * count, 4):
            if type_ == "string":
                self._string(buffer, name, at)
            else:
                self.add("offset", name, at, "I")
                self.table(Table(buffer, type_, buffer.follow(at)), type_)

    def _string(self, buffer, name, place):
        start = buffer.follow(place)
        self.add("offset", name, place, "I")
        self.add("length", name, start, "I")
        if buffer.number("I", start):
            self.add("text", name, start + 4, f"{buffer.number('I', start)}s")


def kind(make):
    """Register what makes a kind of mutant."""
    KINDS[make.__name__.replace("_", " ")] = make
    return make


def flipped(data, random, start, size):
    """One bit of a range flipped."""
    at = start + random.randrange(size)
    return at, bytes([data[at] ^ 1 << random.randrange(8)])


def number(data, random, place):
    """A place's number replaced: by a neighbour, an extreme, or with one bit flipped."""
    size = struct.calcsize(place.code)
    if place.code in "fd":
        return place.offset, struct.pack(f"<{place.code}", random.choice([float("nan"), float("inf"), -1.0, 1e300, 0.5]))
    if place.code == "?":
        return flipped(data, random, place.offset, 1)
    (value,) = struct.unpack_from(f"<{place.code}", data, place.offset)
    signed = place.code.islower()
    low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    wanted = random.choice(
        [value - 1, value + 1, 2 * value, 0, 1, low, high, high // 2, value ^ 1 << random.randrange(8 * size - 1)]
    )
    return place.offset, struct.pack(f"<{place.code}", min(max(wanted, low), high))


def among(random, places, *beginnings):
    """One of the places, those of each name being as likely: of values there are many more than of all else."""
    chosen = [place for place in places if place.name.startswith(beginnings or ("",))]
    name = random.choice(sorted({place.name for place in chosen}))
    return random.choice([place for place in chosen if place.name == name])


@kind
def file_header(random, sound):
    return flipped(sound.data, random, 0, 8)


@kind
def extended_header(random, sound):
    """Its length, the program's size, where segments begin, their size."""
    place = Place("", *random.choice([(8, "I"), (12, "I"), (16, "Q"), (24, "Q"), (32, "Q")]))
    return number(sound.data, random, place)


@kind
def vtable(random, sound):
    return number(sound.data, random, among(random, sound.places["vtable"]))


@kind
def offset(random, sound):
    return number(sound.data, random, among(random, sound.places["offset"]))


@kind
def length(random, sound):
    return number(sound.data, random, among(random, sound.places["length"]))


@kind
def size_or_index(random, sound):
    return number(sound.data, random, among(random, sound.places["number"]))


@kind
def instruction(random, sound):
    """What is called, with which values."""
    wanted = ("KernelCall", "DelegateCall", "MoveCall", "JumpFalseCall", "Chain", "ExecutionPlan")
    return number(sound.data, random, among(random, sound.places["number"], *wanted))


@kind
def dtype_or_type(random, sound):
    """Dtypes, kinds of values and instructions, dynamism, locations."""
    place = among(random, sound.places["enum"])
    wanted = random.choice([value for value in (*range(16), 127) if value != sound.data[place.offset]])
    return place.offset, bytes([wanted])


@kind
def operator_or_method_name(random, sound):
    place = among(random, sound.places["text"])
    at = place.offset + random.randrange(struct.calcsize(place.code))
    return at, bytes([random.choice([0, 0x41, 0x7F, 0xFF, sound.data[at] ^ 1])])


@kind
def segment_table(random, sound):
    return number(sound.data, random, among(random, sound.places["number"], "DataSegment", "SubsegmentOffsets"))


@kind
def flatbuffer_bits(random, sound):
    (span,) = sound.spans("program")
    return flipped(sound.data, random, *span)


@kind
def delegate_header(random, sound):
    """XNNPACK's own header and the flatbuffer of its graph; of a program without delegates the tables."""
    spans = sound.spans("delegate")
    if not spans:
        return vtable(random, sound)
    start, size = random.choice(spans)
    return flipped(sound.data, random, start, min(size, 48))


@kind
def delegate_body(random, sound):
    spans = sound.spans("delegate")
    return flipped(sound.data, random, *random.choice(spans)) if spans else instruction(random, sound)


@kind
def weight_bits(random, sound):
    return flipped(sound.data, random, *random.choice(sound.spans("constants", "named data")))


@kind
def weights_of_no_number(random, sound):
    start, size = random.choice(sound.spans("constants", "named data"))
    at = start + 4 * random.randrange(size // 4)
    return at, struct.pack("<f", random.choice([float("nan"), float("inf"), -3e38, 1e30]))


@kind
def truncation(random, sound):
    """At the ends of parts, within headers, and a byte beside them."""
    ends = [0, 1, 7, 8, 31, 32, 40, 63, 64, len(sound.data) - 1, len(sound.data) // 2]
    ends += [part.offset + beside for part in sound.parts if part.offset for beside in (-1, 0, 1)]
    return sound.data[: random.choice(ends)]


@kind
def extension(random, sound):
    more = random.choice([bytes(1), bytes(4096), random.randbytes(777), sound.data[:64], sound.data])
    return sound.data + more


@kind
def zeroed_range(random, sound):
    start, size = random.choice(
        [span for span in sound.spans("program", "constants", "delegate", "named data") if span[1] > 16]
    )
    long = min(random.choice([16, 256, 4096, size]), size)
    return start + random.randrange(size - long + 1), bytes(long)


@kind
def swapped_blocks(random, sound):
    long = random.choice([16, 64, 512, 4096])
    one, other = sorted(random.sample(range(len(sound.data) // long), 2))
    data = bytearray(sound.data)
    data[one * long : (one + 1) * long] = sound.data[other * long : (other + 1) * long]
    data[other * long : (other + 1) * long] = sound.data[one * long : (one + 1) * long]
    return bytes(data)


@kind
def duplicated_block(random, sound):
    """In the place of another one, or between two, which moves all that follows."""
    long = random.choice([4, 16, 64, 512, 4096])
    start = random.randrange(len(sound.data) - long)
    block = sound.data[start : start + long]
    if random.random() < 0.5:
        return sound.data[:start] + block + sound.data[start:]
    return random.randrange(len(sound.data) - long), block


@dataclass(frozen=True)
class Mutant:
    """A damaged program."""

    sound: Sound
    number: int

    @property
    def kind(self):
        return list(KINDS)[self.number % len(KINDS)]

    @property
    def name(self):
        return f"{self.sound.name} {self.number}: {self.kind}"

    @functools.cached_property
    def data(self):
        """Its bytes, which differ from the sound program's."""
        chance = random.Random(f"{self.sound.name} {self.number}")
        while True:
            made = KINDS[self.kind](chance, self.sound)
            if isinstance(made, tuple):
                at, written = made
                made = self.sound.data[:at] + written + self.sound.data[at + len(written) :]
            if made != self.sound.data:
                return made


def zoo(directory, place, arguments):
    """The command as a shell starts it, in a session of its own; to be run in a child of the fork server.

    Args:
        directory: Where it is started.
        place: Directory for what it prints, ``out`` and ``err``.
        arguments: What stands behind ``zoo``.
    """
    os.setsid()
    os.chdir(directory)
    for descriptor, name in ((1, "out"), (2, "err")):
        log = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, descriptor)
        os.close(log)
    sys.argv = ["zoo", *arguments]
    cli.main()
