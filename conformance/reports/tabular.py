"""Records as a flat table for analysis: a row a cell, columns of one type each, as CSV or Parquet."""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conformance.errors import ConformanceError
from conformance.record import STAGES, Record
from exporters.config import ExportConfig
from exporters.errors import ExportError

Kind = Literal["text", "integer", "number", "boolean", "time"]


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    name: str
    kind: Kind
    """``text``, ``integer`` (64 bits), ``number`` (double), ``boolean``, or ``time`` (UTC)."""
    says: str
    """What it says, with its unit."""
    value: Callable[[Record], Any]
    """Its value, or ``None``."""


def _attribute(name: str, kind: Kind, says: str) -> Column:
    return Column(name, kind, says, lambda record: getattr(record, name))


def _option(name: str, says: str, kind: Kind = "text") -> Column:
    def value(record: Record) -> Any:
        try:
            return getattr(ExportConfig.from_id(record.configuration), name)
        except ExportError:  # of a version that knew other configurations
            return None

    return Column(name, kind, says, value)


def _metric(column: str, checks: Sequence[str], metric: str, says: str) -> Column:
    def value(record: Record) -> Any:
        return next((record.checks[name].metrics.get(metric) for name in checks if name in record.checks), None)

    return Column(column, "number", says, value)


def _latency(session: str, figure: str, says: str) -> Column:
    return Column(f"{session}_{figure}", "number", says, lambda record: (record.latency.get(session) or {}).get(figure))


def _stage(name: str) -> Column:
    def value(record: Record) -> Any:
        return next((stage.seconds for stage in record.stages if stage.name == name), None)

    return Column(f"{name}_seconds", "number", f"seconds of the stage {name}; of a cached artifact, those of its export", value)


def _version(package: str) -> Column:
    return Column(f"{package}_version", "text", f"version of {package}", lambda record: record.versions.get(package))


def _host(name: str, kind: Kind, says: str) -> Column:
    return Column(f"host_{name}", kind, says, lambda record: record.host.get(name))


_ERRORS = ("logits", "hidden_states", "boxes")
COLUMNS: tuple[Column, ...] = (
    Column("cell", "text", "model@configuration", lambda record: record.cell),
    _attribute("model", "text", "the registry's name"),
    _attribute("family", "text", "its family"),
    _attribute("task", "text", "what it does, as the Hub names it"),
    _attribute("configuration", "text", "the configuration's id"),
    _option("recipe", "how it was lowered: xnnpack or portable"),
    _option("dtype", "type of what is not quantized"),
    _option("qlinear", "scheme of linear layers; empty if they are not quantized"),
    _option("qembedding", "scheme of the embedding"),
    _option("use_custom_sdpa", "attention through llama::custom_sdpa", "boolean"),
    _option("use_custom_kv_cache", "KV cache through llama::update_cache", "boolean"),
    _option("quantize_kv_cache", "keys and values in 8 bits", "boolean"),
    _option("dynamic_shapes", "sequences of any length", "boolean"),
    _attribute("scale", "text", "where the weights come from"),
    _attribute("hub_id", "text", "the published checkpoint"),
    _attribute("revision", "text", "its revision; empty if it is not pinned"),
    _attribute("status", "text", "the verdict"),
    _attribute("reason", "text", "why it is not pass"),
    _attribute("issue", "text", "link of a known failure"),
    _attribute("furthest_stage", "text", "the last stage that was finished"),
    Column("failure_stage", "text", "where it ended early", lambda record: record.failure and record.failure.stage),
    Column("failure_kind", "text", "exception, signal or limit", lambda record: record.failure and record.failure.kind),
    Column(
        "checks_not_passed",
        "text",
        "names of the checks that did not pass",
        lambda record: ", ".join(name for name, check in record.checks.items() if check.status != "pass"),
    ),
    _attribute("file_bytes", "integer", "size of the program in bytes"),
    _attribute("file_sha256", "text", "its checksum"),
    _attribute("delegated_share", "number", "share of the operators that run in a delegate, 0 to 1"),
    Column("delegates", "integer", "delegates in the program", lambda record: record.delegation.get("delegates")),
    Column("methods", "text", "the program's entry points", lambda record: ", ".join(record.methods)),
    _attribute("max_seq_len", "integer", "positions of the cache"),
    _attribute("sliding_window", "integer", "the smallest window of its layers, in positions"),
    _metric("max_abs_error", _ERRORS, "max_abs_error", "largest absolute error against the baseline"),
    _metric("relative_error", _ERRORS, "relative_error", "relative error against the baseline"),
    _metric("top1", _ERRORS, "top1", "share of positions with the baseline's best token"),
    _metric("kl_mean", _ERRORS, "kl_mean", "mean KL divergence from the baseline, nats"),
    _metric("sqnr_db", _ERRORS, "sqnr_db", "signal to noise against the baseline, dB"),
    _metric("quality_top1", ("quality",), "top1", "share of positions with the best token of eager fp32"),
    _metric("quality_kl_mean", ("quality",), "kl_mean", "mean KL divergence from eager fp32, nats"),
    _metric("quality_sqnr_db", ("quality",), "sqnr_db", "signal to noise against eager fp32, dB"),
    _metric("quality_cosine", ("quality",), "cosine", "smallest cosine to the embeddings of eager fp32"),
    *(
        column
        for session in ("eager", "executorch")
        for column in (
            _latency(session, "load_ms", "time to load, ms, median"),
            _latency(session, "prefill_ms", "time to the first token, ms, median"),
            _latency(session, "decode_tokens_per_second", "tokens a second in decoding, median"),
            _latency(session, "infer_ms", "time of a call, ms, median (models of one pass)"),
        )
    ),
    _latency("executorch", "prefill_speedup", "times as fast as eager in the same run"),
    _latency("executorch", "decode_speedup", "times as fast as eager in the same run"),
    _latency("executorch", "infer_speedup", "times as fast as eager in the same run"),
    *(_stage(name) for name in STAGES),
    Column("cached", "boolean", "the program came from the cache", lambda record: any(stage.cached for stage in record.stages)),
    Column(
        "peak_memory_bytes",
        "integer",
        "largest resident memory of any stage, bytes",
        lambda record: max((stage.peak_memory_bytes or 0 for stage in record.stages), default=0) or None,
    ),
    *(_version(name) for name in ("torch", "transformers", "executorch", "torchao", "python")),
    _host("machine", "text", "the processor's architecture"),
    _host("processor", "text", "the processor's name"),
    _host("cpus", "integer", "processors of the machine"),
    _host("threads", "integer", "threads of PyTorch and of the runtime"),
    Column("created", "time", "when it was run, UTC", lambda record: record.created),
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""Beginnings that spreadsheets take for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A value of each column, or ``None``, for each record, in the order of their cells."""
    ordered = sorted(records, key=lambda record: record.cell)
    return [{column.name: _typed(column, column.value(record)) for column in COLUMNS} for record in ordered]


def _typed(column: Column, value: Any) -> Any:
    """A value of the column's type; what is of another one is left out rather than mistaken."""
    try:
        if value is None or value == "":
            return None
        if column.kind == "text":
            return str(value)
        if column.kind == "boolean":
            return bool(value)
        if column.kind == "time":
            found = datetime.datetime.fromisoformat(value)
            return (found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)).astimezone(datetime.timezone.utc)
        number = float(value)
        return None if not math.isfinite(number) else int(value) if column.kind == "integer" else number
    except (TypeError, ValueError):
        return None


def render_csv(records: Sequence[Record]) -> str:
    """The table as CSV: a line of names, empty fields for ``None``, ``true`` and ``false``, times in ISO 8601. Texts that a
    spreadsheet would compute begin with an apostrophe."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)  # lines end as RFC 4180 has it; with any other end a bare CR would not be quoted
    writer.writerow([column.name for column in COLUMNS])
    for row in rows(records):
        writer.writerow([_field(value) for value in row.values()])
    return file.getvalue()


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str):
        text = value.replace("\x00", "\ufffd")  # Python 3.10 cannot read it back
        return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
    return repr(value)


def write_parquet(path: Path, records: Sequence[Record]) -> None:
    """Write the table as Parquet; what a column says is in its metadata.

    Raises:
        ConformanceError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConformanceError("--parquet needs pyarrow: pip install 'executorch-zoo[analysis]'") from error
    types = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "time": pyarrow.timestamp("ms", tz="UTC"),
    }
    fields = [pyarrow.field(column.name, types[column.kind], metadata={"says": column.says}) for column in COLUMNS]
    table = pyarrow.Table.from_pylist(rows(records), schema=pyarrow.schema(fields))
    pyarrow.parquet.write_table(table, path)
