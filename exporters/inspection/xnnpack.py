"""Reads the graphs that XNNPACK's delegates hold.

The layout is that of ``executorch/backends/xnnpack/serialization/xnnpack_graph_serialize.py`` (executorch 1.4.1): zeros u32,
"XH00", header length u16, place and size of the graph u32 each, place u32 and size u64 of the constants.
"""

from __future__ import annotations

import collections
import struct
from collections.abc import Callable
from dataclasses import dataclass

from exporters.inspection.flatbuffer import Buffer, FlatbufferError, Schema, Table

HEADER_BYTES = 30
BACKEND = "XnnpackBackend"


@dataclass(frozen=True)
class Stored:
    """A constant of a graph."""

    key: str | None
    """Its name among the program's named data, which several delegates may share."""
    dtype: str
    role: str
    bytes: int

    @property
    def content(self) -> str:
        """What it holds, in words."""
        return self.dtype if self.role == "tensor" else f"{self.role} in {self.dtype}"


@dataclass(frozen=True)
class Graph:
    """A delegate's graph."""

    nodes: dict[str, int]
    """Operators by kind, such as ``FullyConnected``; most first."""
    constants: list[Stored]


def read(fetch: Callable[[int, int], bytes], size: int, schema: Schema, named: dict[str, int]) -> Graph:
    """The graph of a delegate.

    Args:
        fetch: Gives bytes of the delegate's data: where they begin, and how many.
        size: Bytes of the delegate's data.
        schema: Of XNNPACK's graphs.
        named: Bytes of the program's named data, by key.

    Raises:
        FlatbufferError: it is damaged, or of a layout that is not known.
    """
    head = fetch(0, min(HEADER_BYTES, size))
    if head[4:8] == b"XH00" and len(head) == HEADER_BYTES:
        data = fetch(*struct.unpack_from("<II", head, 10))
    elif head[4:6] == b"XN":  # before the header was introduced
        data = fetch(0, size)
    else:
        raise FlatbufferError("it does not begin as a graph of XNNPACK does")
    root = Buffer(data, schema, "XNNGraph").root
    nodes = collections.Counter((node["xnode_union"].member or "unknown").removeprefix("XNN") for node in root["xnodes"])
    return Graph(dict(nodes.most_common()), _constants(root, named))


def _constants(root: Table, named: dict[str, int]) -> list[Stored]:
    """Each constant that a value of the graph uses, once."""
    places = [(entry["named_key"] or None, entry["size"]) for entry in root["constant_data"]]
    if not places:
        places = [(None, entry.bytes_of("storage").size) for entry in root["constant_buffer"]]
    found: dict[int, Stored] = {}

    def add(index: int, dtype: str, role: str, scales: int = 0) -> None:
        if index >= len(places):
            raise FlatbufferError(f"a value uses constant {index} of {len(places)}")
        key, size = places[index]
        size = size or named.get(key or "", 0)
        width = size // scales if scales else 0
        found[index] = Stored(key, {2: "bf16", 4: "fp32"}.get(width, dtype) if scales else dtype, role, size)

    for value in root["xvalues"]:
        union = value["xvalue_union"]
        if union.table is None:
            continue
        quantized = union.member == "XNNQuantizedTensorValue"
        tensor = union.table["tensor_value"] if quantized else union.table
        if tensor is None:
            raise FlatbufferError("a quantized value has no tensor")
        if tensor["constant_buffer_idx"]:
            add(tensor["constant_buffer_idx"], tensor["datatype"].removeprefix("xnn_datatype_"), "tensor")
        parameters = union.table["quant_params"] if quantized else None
        if parameters and parameters.table is not None and parameters.member in ("PerChannelQuant", "PerChannelGroupQuant"):
            count, index = parameters.table["num_scales"], parameters.table["scale_buffer_idx"]
            if index:
                add(index, "fp32", "scales", count)
    return [found[index] for index in sorted(found)]
