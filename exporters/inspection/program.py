"""``inspect``: reads a program from its file. Nothing is executed, so that a damaged file is an error and nothing worse."""

from __future__ import annotations

import collections
import functools
import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from exporters.artifact import ACCOUNT, HEADER_BYTES, Artifact, check_program, sha256
from exporters.errors import ExportError
from exporters.inspection import facts, xnnpack
from exporters.inspection.flatbuffer import Buffer, FlatbufferError, Schema, Table, Union

DTYPES = {
    "BYTE": ("uint8", 1),
    "CHAR": ("int8", 1),
    "SHORT": ("int16", 2),
    "INT": ("int32", 4),
    "LONG": ("int64", 8),
    "HALF": ("float16", 2),
    "FLOAT": ("float32", 4),
    "DOUBLE": ("float64", 8),
    "BOOL": ("bool", 1),
    "QINT8": ("qint8", 1),
    "QUINT8": ("quint8", 1),
    "QINT32": ("qint32", 4),
    "BFLOAT16": ("bfloat16", 2),
    "QUINT4X2": ("quint4x2", 1),
    "QUINT2X4": ("quint2x4", 1),
    "BITS16": ("bits16", 2),
    "FLOAT8E5M2": ("float8_e5m2", 1),
    "FLOAT8E4M3FN": ("float8_e4m3fn", 1),
    "FLOAT8E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "FLOAT8E4M3FNUZ": ("float8_e4m3fnuz", 1),
    "UINT16": ("uint16", 2),
    "UINT32": ("uint32", 4),
    "UINT64": ("uint64", 8),
}
"""The schema's scalar types: torch's name, and bytes of an element."""

LIBRARIES = {
    "aten": "portable or optimized kernels",
    "dim_order_ops": "portable or optimized kernels",
    "et_copy": "portable or optimized kernels",
    "executorch_prim": "the runtime",
    "llama": "extension/llm/custom_ops",
    "quantized_decomposed": "kernels/quantized",
}
"""What registers the operators of a namespace (executorch 1.4.1)."""

_DYNAMISM: dict[str, Literal["static", "bounded", "unbounded"]] = {
    "STATIC": "static",
    "DYNAMIC_BOUND": "bounded",
    "DYNAMIC_UNBOUND": "unbounded",
}
_INSTRUCTIONS = {
    "KernelCall": "kernel",
    "DelegateCall": "delegate",
    "MoveCall": "move",
    "JumpFalseCall": "jump",
    "FreeCall": "free",
}
_KINDS = {
    "Tensor": "tensor",
    "Int": "int",
    "Bool": "bool",
    "Double": "double",
    "String": "string",
    "IntList": "int_list",
    "DoubleList": "double_list",
    "BoolList": "bool_list",
    "TensorList": "tensor_list",
    "OptionalTensorList": "optional_tensor_list",
    "Null": "none",
    "NONE": "none",
}
_OTHER_FILES = {
    b"BP": "a bundled program, which holds a .pte with inputs and expected outputs: inspect the .pte it was made of",
    b"FT": "a file of tensors (.ptd), which belongs to a .pte: inspect that",
}


def inspect(path: Path) -> facts.Inspection:
    """Read what is in a ``.pte``.

    Args:
        path: The file, or a directory that ``zoo export`` wrote.

    Raises:
        ExportError: there is no such file, it is no program, or it is damaged.
    """
    if path.is_dir():
        path = Artifact.load(path).program
    if not path.is_file():
        raise ExportError(f"{path} does not exist. 'zoo export' makes a .pte.")
    try:
        with path.open("rb") as file:
            return _Reader(path, file).inspection()
    except (FlatbufferError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise ExportError(f"{path} is damaged: {reason}. Export it again, or copy it anew.") from error
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror or error}.") from error


@functools.cache
def _schema(*names: str) -> Schema:
    """Schemas in the executorch wheel; the package itself, and torch with it, is not imported."""
    found = importlib.util.find_spec("executorch")
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    texts = []
    for name in names:
        path = next((place / name for place in places if (place / name).is_file()), None)
        if path is None:
            raise ExportError(f"executorch is not installed with its schema {name}: pip install executorch==1.4.1.")
        texts.append(path.read_text(encoding="utf-8"))
    return Schema.parse(*texts)


def _program_schema() -> Schema:
    return _schema("exir/_serialize/program.fbs", "exir/_serialize/scalar_type.fbs")


def _xnnpack_schema() -> Schema:
    return _schema("backends/xnnpack/serialization/schema.fbs")


@dataclass(frozen=True)
class _Header:
    program: int
    """Bytes of the flatbuffer, from the file's first one on."""
    base: int
    """Where segments begin; 0 where there are none."""


@dataclass(frozen=True)
class _Span:
    """Bytes of the file."""

    start: int
    size: int


class _Reader:
    """A program's file while it is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = path.stat().st_size
        head = self.fetch(0, min(HEADER_BYTES, self.size))
        if head[4:6] != b"ET" or len(head) < 12:
            what = _OTHER_FILES.get(head[4:6])
            told = f"is {what}." if what else "is no ExecuTorch program: it does not begin like one."
            raise ExportError(f"{path} {told}")
        self.identifier = head[4:8].decode("ascii", errors="replace")
        self.header = self._header(head)
        self.root = Buffer(self.fetch(0, self.header.program), _program_schema(), "Program").root
        self.plans = self.root["execution_plan"]
        self.values = [plan["values"] for plan in self.plans]
        self.segments = [self._segment(entry) for entry in self.root["segments"]]
        self.named = [(entry["key"] or "", self._index(entry["segment_index"])) for entry in self.root["named_data"]]

    def inspection(self) -> facts.Inspection:
        delegates = [self._delegates(plan) for plan in self.plans]
        graphs = [graph for found in delegates for _, graph in found if graph is not None]
        methods, constant = [], {}
        for plan, values, found in zip(self.plans, self.values, delegates, strict=True):
            method = self._method(plan, values, [delegate for delegate, _ in found])
            if method.inputs or sum(method.instructions.values()) or any(one.kind == "tensor" for one in method.outputs):
                methods.append(method)
            else:
                answers = [output.value for output in method.outputs]
                constant[method.name] = answers[0] if len(answers) == 1 else answers
        digest = sha256(self.path)
        return facts.Inspection(
            file=facts.File(name=self.path.name, bytes=self.size, sha256=digest, identifier=self.identifier),
            account=_account(self.path),
            methods=methods,
            constant_methods=constant,
            weights=[*self._own_weights(), *_xnnpack_weights(graphs)],
            parts=self._parts({constant.key: constant.content for graph in graphs for constant in graph.constants}),
        )

    def fetch(self, start: int, size: int) -> bytes:
        """Bytes of the file.

        Raises:
            FlatbufferError: it ends before.
        """
        if start < 0 or size < 0 or start + size > self.size:
            raise FlatbufferError(f"it has {self.size} bytes of the {start + size} it states: it was truncated")
        self.file.seek(start)
        found = self.file.read(size)
        if len(found) != size:
            raise FlatbufferError(f"it ended at byte {start + len(found)} while it was read")
        return found

    def _header(self, head: bytes) -> _Header:
        """The extended header: "eh00", length u32, program size u64, segment base u64 (ExecuTorch's extended_header.h)."""
        if head[8:12] != b"eh00":
            return _Header(self.size, 0)
        if len(head) < HEADER_BYTES:
            raise FlatbufferError(f"it has {self.size} bytes, less than its header: it was truncated")
        program, base = (int.from_bytes(head[place : place + 8], "little") for place in (16, 24))
        if program > self.size or base > self.size:
            raise FlatbufferError(f"it has {self.size} bytes of the {max(program, base)} it states: it was truncated")
        if base and base < program:
            raise FlatbufferError(f"its segments begin at byte {base}, inside of its program of {program} bytes")
        return _Header(program, base)

    def _segment(self, entry: Table) -> _Span:
        span = _Span(self.header.base + entry["offset"], entry["size"])
        if span.start + span.size > self.size:
            raise FlatbufferError(f"it has {self.size} bytes of the {span.start + span.size} it states: it was truncated")
        return span

    def _index(self, index: int) -> int:
        if index >= len(self.segments):
            raise FlatbufferError(f"it uses segment {index} of {len(self.segments)}")
        return index

    def _method(self, plan: Table, values: Sequence[Table], delegates: list[facts.Delegate]) -> facts.Method:
        calls = [instruction["instr_args"] for chain in plan["chains"] for instruction in chain["instructions"]]
        kinds = collections.Counter(_INSTRUCTIONS.get(call.member or "", "unknown") for call in calls)
        operators = _operators(plan, calls)
        outside = sum(operator.calls for operator in operators if not operator.name.startswith("executorch_prim::"))
        inside = sum(sum((delegate.nodes or {}).values()) * delegate.calls for delegate in delegates)
        read = all(delegate.nodes is not None for delegate in delegates)
        devices = {entry["buffer_idx"]: entry for entry in plan["non_const_buffer_device"]}
        return facts.Method(
            name=plan["name"] or "",
            inputs=[self._value(_at(values, index, "value")) for index in plan["inputs"]],
            outputs=[self._value(_at(values, index, "value")) for index in plan["outputs"]],
            instructions=dict(kinds),
            operators=operators,
            delegates=delegates,
            delegation=_delegation(inside, outside) if read else None,
            memory=[
                facts.Memory(id=index, bytes=size, device=_device(devices.get(index)))
                for index, size in enumerate(plan["non_const_buffer_sizes"])
                if index  # the first one is reserved
            ],
        )

    def _value(self, entry: Table) -> facts.Value:
        union: Union = entry["val"]
        kind = _KINDS.get(union.member or "", "unknown")
        table = union.table
        if table is None or kind in ("none", "unknown"):
            return facts.Value(kind=kind)
        if kind == "tensor":
            dtype = DTYPES.get(table["scalar_type"])
            return facts.Value(
                kind=kind,
                dtype=dtype[0] if dtype else table["scalar_type"],
                shape=table["sizes"],
                dynamism=_DYNAMISM.get(table["shape_dynamism"]),
                planned=table["allocation_info"] is not None,
            )
        if kind.endswith("_list"):
            return facts.Value(kind=kind, value=[_plain(item) for item in table["items"]])
        return facts.Value(kind=kind, value=_plain(table[f"{kind}_val"]))

    def _delegates(self, plan: Table) -> list[tuple[facts.Delegate, xnnpack.Graph | None]]:
        """The delegates of a method, and the graphs of those that are XNNPACK's."""
        made = collections.Counter(
            instruction["instr_args"].table["delegate_index"]
            for chain in plan["chains"]
            for instruction in chain["instructions"]
            if instruction["instr_args"].member == "DelegateCall"
        )
        named = {key: self.segments[index].size for key, index in self.named}
        found = []
        for index, entry in enumerate(plan["delegates"]):
            span = self._delegate_span(entry)
            graph, unread = None, None
            if entry["id"] == xnnpack.BACKEND:
                try:
                    graph = xnnpack.read(self._within(span), span.size, _xnnpack_schema(), named)
                except FlatbufferError as error:
                    unread = str(error)
            else:
                unread = "graphs of this backend are not read"
            delegate = facts.Delegate(
                backend=entry["id"] or "",
                calls=made[index],
                bytes=span.size,
                compile_specs=[spec["key"] or "" for spec in entry["compile_specs"]],
                nodes=None if graph is None else graph.nodes,
                weights_bytes=None if graph is None else sum(constant.bytes for constant in graph.constants),
                unread=unread,
            )
            found.append((delegate, graph))
        return found

    def _delegate_span(self, entry: Table) -> _Span:
        place = entry["processed"]
        if place is None:
            return _Span(0, 0)
        if place["location"] == "SEGMENT":
            return self.segments[self._index(place["index"])]
        inline = _at(self.root["backend_delegate_data"], place["index"], "delegate").bytes_of("data")
        return _Span(inline.start, inline.size)

    def _within(self, span: _Span) -> Callable[[int, int], bytes]:
        def fetch(start: int, size: int) -> bytes:
            if start + size > span.size:
                raise FlatbufferError(f"it passes the end of its {span.size} bytes")
            return self.fetch(span.start + start, size)

        return fetch

    def _own_weights(self) -> list[facts.Weights]:
        """The program's own tensors: each buffer counts once, however many values use it."""
        found: dict[tuple[str, object], tuple[str, int]] = {}
        for table in self._tensors():
            dtype, width = DTYPES.get(table["scalar_type"], (table["scalar_type"], 0))
            size = math.prod(max(size, 0) for size in table["sizes"]) * width
            extra = table["extra_tensor_info"]
            if extra is not None and extra["location"] == "EXTERNAL":
                found["external", extra["fully_qualified_name"]] = dtype, size
            elif table["data_buffer_idx"]:
                place = "constants" if table["allocation_info"] is None else "mutable"
                segment = extra["mutable_data_segments_idx"] if extra is not None and place == "mutable" else 0
                found[place, (segment, table["data_buffer_idx"])] = dtype, size
        return _tally((place, dtype, "tensor", size) for (place, _), (dtype, size) in found.items())

    def _tensors(self) -> Iterator[Table]:
        for values in self.values:
            for value in values:
                union = value["val"]
                if union.member == "Tensor" and union.table is not None:
                    yield union.table

    def _parts(self, contents: Mapping[str | None, str]) -> list[facts.Part]:
        """The file from its first to its last byte; ``contents`` says what named data holds."""
        spans = [*self._inline(), *self._outside()]
        parts: list[facts.Part] = []
        at = 0
        for span, kind, name in sorted(spans, key=lambda entry: (entry[0].start, entry[0].size)):
            if span.start < at:
                raise FlatbufferError(f"its parts overlap at byte {span.start}")
            parts += self._gap(at, span.start)
            content = contents.get(name) if kind == "named data" else None
            parts.append(facts.Part(kind=kind, name=name, content=content, offset=span.start, bytes=span.size))
            at = span.start + span.size
        return parts + self._gap(at, self.size)

    def _gap(self, start: int, end: int) -> list[facts.Part]:
        """What lies between parts: the flatbuffer itself, then padding."""
        within = min(end, self.header.program)
        found = []
        if start < within:
            found.append(facts.Part(kind="program", name="flatbuffer", offset=start, bytes=within - start))
        if max(start, within) < end:
            begin = max(start, within)
            found.append(facts.Part(kind="padding", name="", offset=begin, bytes=end - begin))
        return found

    def _inline(self) -> Iterator[tuple[_Span, facts.PartKind, str]]:
        """Data inside of the flatbuffer: in files without segments."""
        for kind, field, vector in (
            ("constants", "constant_buffer", "storage"),
            ("delegate", "backend_delegate_data", "data"),
        ):
            seen: set[int] = set()
            for index, entry in enumerate(self.root[field]):
                span = entry.bytes_of(vector)
                if span.size and span.start not in seen:
                    seen.add(span.start)
                    yield _Span(span.start, span.size), kind, f"{kind} {index}"  # type: ignore[misc]

    def _outside(self) -> Iterator[tuple[_Span, facts.PartKind, str]]:
        users = self._users()
        for index, span in enumerate(self.segments):
            kind, names = users.get(index, ("unreferenced", [f"segment {index}"]))
            if span.size:
                yield span, kind, ", ".join(dict.fromkeys(names))

    def _users(self) -> dict[int, tuple[facts.PartKind, list[str]]]:
        """What each segment is for."""
        found: dict[int, tuple[facts.PartKind, list[str]]] = {}

        def use(index: int, kind: facts.PartKind, name: str) -> None:
            found.setdefault(self._index(index), (kind, []))[1].append(name)

        constants = self.root["constant_segment"]
        if constants is not None and constants["offsets"]:
            use(constants["segment_index"], "constants", "constants")
        for entry in self.root["mutable_data_segments"]:
            use(entry["segment_index"], "mutable", "initial states")
        for plan in self.plans:
            for index, entry in enumerate(plan["delegates"]):
                place = entry["processed"]
                if place is not None and place["location"] == "SEGMENT":
                    use(place["index"], "delegate", f"{plan['name']}: {entry['id']} {index}")
        for key, index in self.named:
            use(index, "named data", key)
        return found


def _operators(plan: Table, calls: Sequence[Union]) -> list[facts.Operator]:
    """The operators of a method, most called first."""
    names = [f"{entry['name']}.{entry['overload']}".removesuffix(".") for entry in plan["operators"]]
    counts = collections.Counter(
        _at(names, call.table["op_index"], "operator") for call in calls if call.member == "KernelCall" and call.table
    )
    return [
        facts.Operator(name=name, library=LIBRARIES.get(name.partition("::")[0]), calls=count)
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _xnnpack_weights(graphs: Sequence[xnnpack.Graph]) -> list[facts.Weights]:
    """The constants of XNNPACK's delegates; what several share by name counts once."""
    shared = {constant.key: constant for graph in graphs for constant in graph.constants if constant.key is not None}
    own = [constant for graph in graphs for constant in graph.constants if constant.key is None]
    return _tally(("XNNPACK", constant.dtype, constant.role, constant.bytes) for constant in [*shared.values(), *own])


def _tally(entries: Iterable[tuple[Any, str, Any, int]]) -> list[facts.Weights]:
    counts: collections.Counter[tuple[Any, str, Any]] = collections.Counter()
    sizes: collections.Counter[tuple[Any, str, Any]] = collections.Counter()
    for place, dtype, role, size in entries:
        counts[place, dtype, role] += 1
        sizes[place, dtype, role] += size
    return [
        facts.Weights(place=place, dtype=dtype, role=role, tensors=counts[place, dtype, role], bytes=size)
        for (place, dtype, role), size in sorted(sizes.items(), key=lambda item: -item[1])
    ]


def _delegation(inside: int, outside: int) -> facts.Delegation:
    total = inside + outside
    return facts.Delegation(delegated=inside, undelegated=outside, share=inside / total if total else 0.0)


def _device(entry: Table | None) -> str:
    if entry is None:
        return "cpu"
    index = f":{entry['device_index']}" if entry["device_index"] else ""
    return f"{entry['device_type'].lower()}{index}"


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _at(items: Sequence[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise FlatbufferError(f"it uses {what} {index} of {len(items)}")
    return items[index]


def _account(path: Path) -> facts.Account | None:
    """What the ``export.json`` beside a program says of it."""
    if not (path.parent / ACCOUNT).is_file():
        return None
    try:
        account = Artifact.load(path.parent).account
    except ExportError as error:
        return facts.Account(matches=False, message=str(error))
    if account.file.name != path.name:
        return facts.Account(matches=False, message=f"it is of {account.file.name}, not of {path.name}.")
    message = ""
    try:
        check_program(path, account.file)
    except ExportError as error:
        message = str(error)
    inside, outside = account.delegation.counted
    return facts.Account(
        matches=not message,
        message=message,
        configuration_id=account.configuration_id,
        model_type=account.model_type,
        task=account.task,
        versions=account.versions,
        delegation=facts.Delegation(delegated=inside, undelegated=outside, share=account.delegation.share),
    )
