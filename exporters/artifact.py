"""``Artifact``: an exported program on disk with the account of how it was made, ``model.pte`` + ``export.json``."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.config import ExportConfig
from exporters.errors import ExportError

PROGRAM = "model.pte"
ACCOUNT = "export.json"


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageTime(_Schema):
    """One stage of the pipeline."""

    name: str
    seconds: float
    peak_memory_bytes: int
    """Highest resident memory of the process up to the end of the stage."""


class ProgramFile(_Schema):
    """The ``.pte``."""

    name: str
    bytes: int
    data_bytes: int
    """What holds weights: constants and what delegates were given, without the program around them."""
    sha256: str


class Delegation(_Schema):
    """Which operators run in a delegate and which do not, by operator, and how many delegates there are."""

    delegates: int
    delegated: dict[str, int]
    undelegated: dict[str, int]

    @property
    def counted(self) -> tuple[int, int]:
        """Operators in delegates, and outside; what only moves tuples and sizes does not count."""
        inside, outside = (
            sum(count for name, count in found.items() if name.startswith(("aten_", "torchao_", "llama_", "quantized_")))
            for found in (self.delegated, self.undelegated)
        )
        return inside, outside

    @property
    def share(self) -> float:
        """Delegated operators as a share of all that count, from 0 to 1."""
        inside, outside = self.counted
        total = inside + outside
        return inside / total if total else 0.0


class LinearWeights(_Schema):
    """How many quantized linear weights a program has of a kind."""

    bits: int
    group_size: int
    """Input features that share a scale; all of them where an output channel has one scale."""
    count: int


class Realised(_Schema):
    """What is in the program, read off the program itself, to be held against what was asked for."""

    operators: list[str]
    """Operators outside of delegates."""
    backends: list[str]
    linear_weights: list[LinearWeights]
    """The quantized weights of linear layers, in delegates and outside."""
    shared_embedding: bool
    """Whether another layer uses the embedding's weight itself."""


class Account(_Schema):
    """The content of ``export.json``."""

    schema_version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    model_type: str
    task: str
    wrapper: str
    methods: list[str]
    configuration_id: str
    configuration: dict[str, Any]
    """Every option of ``ExportConfig``."""
    max_seq_len: int | None
    """The effective one; ``None`` where there is no sequence."""
    checkpoint_sha256: str
    versions: dict[str, str]
    stages: list[StageTime]
    accelerations: list[str] = []
    """Those of ``exporters.lowering`` that were applied."""
    file: ProgramFile
    constant_methods: dict[str, Any]
    cache: list[dict[str, Any]]
    """Kind, capacity and window-ness of each cache layer."""
    delegation: Delegation
    quantization: dict[str, Any]
    """``QuantizationReport``."""
    realised: Realised


@dataclass(frozen=True)
class Artifact:
    """An exported program and its account."""

    directory: Path
    account: Account

    @property
    def program(self) -> Path:
        """The ``.pte``."""
        return self.directory / self.account.file.name

    @property
    def config(self) -> ExportConfig:
        """The configuration it was exported with."""
        return ExportConfig.from_mapping(self.account.configuration)

    @classmethod
    def load(cls, directory: Path) -> Artifact:
        """Read an artifact's account.

        Raises:
            ExportError: there is none, or it is not one this version can read.
        """
        path = directory / ACCOUNT
        if not path.is_file():
            raise ExportError(f"{directory} holds no {ACCOUNT}; export a model into it with 'zoo export'.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ExportError(f"{path} is not a readable account: {error}. Export the model again.") from error
        try:
            return cls(directory, Account.model_validate_json(text))
        except ValidationError as error:
            first = error.errors()[0]
            if any(each["loc"] == ("format",) for each in error.errors()):
                raise ExportError(
                    f"{directory} holds an export to another format; export the model with --format pte."
                ) from error
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ExportError(f"{path} is not a readable account: {where}: {first['msg']}. Export the model again.") from error

    def verify(self) -> None:
        """Check that the program is the one that was written: the runtime does not notice flipped weight bytes.

        Raises:
            ExportError: the file is missing, truncated or altered.
        """
        check_program(self.program, self.account.file)


def check_program(path: Path, expected: ProgramFile) -> None:
    """Check a ``.pte`` against its account.

    Raises:
        ExportError: the file is missing, truncated or altered.
    """
    if not path.is_file():
        raise ExportError(f"{path} does not exist. Export it again with 'zoo export'.")
    size = path.stat().st_size
    if size != expected.bytes:
        raise ExportError(f"{path} has {size} bytes where {expected.bytes} were exported: it was truncated or replaced.")
    if sha256(path) != expected.sha256:
        raise ExportError(f"the checksum of {path} does not match its {ACCOUNT}: the file was altered. Export it again.")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def program_file(path: Path) -> ProgramFile:
    """The facts of a ``.pte`` that was just written."""
    with path.open("rb") as file:
        parts = program_parts(file.read(HEADER_BYTES))
    size = path.stat().st_size
    return ProgramFile(name=path.name, bytes=size, data_bytes=size - parts.program, sha256=sha256(path))


@dataclass(frozen=True)
class ProgramParts:
    """What a program's extended header states, in bytes."""

    program: int
    """The flatbuffer."""
    total: int
    """The file."""


HEADER_BYTES = 64


def program_parts(head: bytes) -> ProgramParts:
    """Read the first ``HEADER_BYTES`` of a ``.pte``; zeros where it has no extended header.

    The layout is that of ExecuTorch's ``schema/extended_header.h``: "eh00", header length u32, program size u64, segment base
    offset u64, segment data size u64.
    """
    if head[8:12] != b"eh00":
        return ProgramParts(0, 0)
    length, program, base = struct.unpack_from("<IQQ", head, 12)
    data = struct.unpack_from("<Q", head, 32)[0] if length >= 32 else 0
    return ProgramParts(int(program), int(max(program, base + data)))
