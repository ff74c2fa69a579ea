"""Figures, statuses and texts as Markdown shows them, in every report alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from conformance.inert import inert_line
from conformance.record import Record
from conformance.reports.step_summary import code as inert_code
from zoo import registry

SYMBOLS: Mapping[str, str] = {
    "pass": "✅",
    "known_failure": "⚠️",
    "not_applicable": "➖",
    "fail": "❌",
    "crash": "❌",
    "oom": "❌",
    "timeout": "❌",
    "fixed": "❌",
    "blocked": "⏸️",
    "inconclusive": "❔",
}
PARTIAL = "◐"
"""Some of several cells pass."""
NEVER_RUN = "never run"


def speedup(record: Record) -> float | None:
    """How many times as fast as eager PyTorch the program decodes, or answers a call."""
    program = record.latency.get("executorch", {})
    ratio: float | None = program.get("decode_speedup", program.get("infer_speedup"))
    return ratio


def times(ratios: Sequence[float | None]) -> str:
    """A speed-up, or the range of several, such as ``5.1–7.3×``."""
    known = [f"{ratio:.1f}" for ratio in sorted(ratio for ratio in ratios if ratio is not None)]
    return f"{_range(known)}×" if known else "–"


def size(count: int | None) -> str:
    """A size in bytes, such as ``1.4 MiB``."""
    if count is None:
        return "–"
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def sizes(counts: Sequence[int | None]) -> str:
    """A size, or the range of several."""
    return _range([size(count) for count in sorted(count for count in counts if count is not None)]) or "–"


def quality(record: Record) -> tuple[str, float] | None:
    """How much of eager fp32 is left after rounding: top-1 agreement, or the smallest cosine of embeddings; ``None`` where
    nothing is rounded."""
    metrics = record.checks["quality"].metrics if "quality" in record.checks else {}
    for name, key in (("top-1", "top1"), ("cosine", "cosine")):
        if metrics.get(key) is not None:
            return name, metrics[key]
    return None


def cost(records: Sequence[Record]) -> str | None:
    """What rounding costs at most, in words; ``None`` where nothing is rounded."""
    known = [found for found in map(quality, records) if found is not None]
    if not known:
        return None
    name, worst = min(known, key=lambda found: found[1])
    return f"{name} {percent(worst)}" if name == "top-1" else f"{name} {worst:.3f}"


def percent(share: float) -> str:
    """A share, such as ``99.6 %``, that does not break; 100 % is said of all and nothing less."""
    shown = f"{100 * share:.1f}".removesuffix(".0")
    return f"{'99.9' if shown == '100' and share < 1 else shown}\N{NO-BREAK SPACE}%"


def number(value: float | None, form: str) -> str:
    """A number in a format, or a dash."""
    return "–" if value is None else format(value, form)


def status(record: Record) -> str:
    """A status with its symbol."""
    return f"{SYMBOLS[record.status]} {record.status.replace('_', ' ')}"


def anchor(record: Record) -> str:
    """Where a cell stands on its family's page."""
    return re.sub(r"[^a-z0-9.-]", "-", f"{record.model}-{record.configuration}".lower())


def documented(text: str) -> str:
    """A sentence that leads to the zoo's documentation; nothing in another project, which does not have it."""
    return "" if registry.home().keys() < registry.models().keys() else text


def link(target: str | None, *, root: str = "") -> str | None:
    """A link's target if it is one: an address, or a file of the project (``root`` leads to its directory)."""
    if target is None or re.search(r"[\s()<>\"\\]", target):
        return None
    if re.match(r"https?://", target):
        return target
    return f"{root}{target}" if re.match(r"docs/[\w./#-]+$", target) else None


def inline(text: str) -> str:
    """Text from outside (error messages) as one line that cannot become markup or end a table row."""
    flat = inert_line(text)
    for mark in "\\`*_[]<>|~":
        flat = flat.replace(mark, f"\\{mark}")
    return flat[:600]


def code(text: str) -> str:
    """Text from outside as code: in backticks if it is what names here are made of, and inert otherwise."""
    return f"`{text}`" if re.fullmatch(r"[\w.@+/-]+", text, re.ASCII) else inert_code(text)


def fact(text: str) -> str:
    """A version, a date or a scale: as it is if it is what these are made of, and inert otherwise."""
    return text if re.fullmatch(r"[\w.+ -]*", text, re.ASCII) else inline(text)


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table."""
    rows = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def provenance(records: Sequence[Record]) -> str:
    """When, where and with what records were made."""
    dates = sorted({fact(record.created[:10]) for record in records})
    scales = sorted({record.scale for record in records})
    threads = sorted({fact(str(record.host.get("threads", "?"))) for record in records})
    processors = sorted({str(record.host["processor"]) for record in records if record.host.get("processor")})
    period = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = "; ".join(
        sorted({", ".join(fact(f"{name} {version}") for name, version in record.versions.items()) for record in records})
    )
    on = f" on {inline(', '.join(processors))}" if processors else ""
    return f"Measured {period} at scale {inline(', '.join(scales))}{on}, {', '.join(threads)} thread(s), with {versions}."


def _range(ordered: Sequence[str]) -> str:
    """The first and the last of figures that stand in order, a unit they share said once."""
    if len(set(ordered)) < 2:
        return ordered[0] if ordered else ""
    first, last = ordered[0], ordered[-1]
    unit = first.partition(" ")[2]
    return f"{first.removesuffix(f' {unit}')}–{last}" if unit and last.endswith(f" {unit}") else f"{first}–{last}"
