"""The support matrix: the table in the README between its markers, and ``reports/SUPPORT.md``. Every cell leads to its
evidence, the row of its record on the page of its family (``conformance.reports.evidence``)."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.matrix import CORE, Cell, configurations
from conformance.record import Record
from conformance.reports import figures
from conformance.reports.figures import NEVER_RUN, PARTIAL, SYMBOLS
from zoo import registry
from zoo.model import TASKS, Model

PAGES = "reports/support"
_KINDS = {
    "CausalLMExportableModule": "decoders",
    "MaskedLMExportableModule": "encoders",
    "Seq2SeqLMExportableModule": "encoders with decoders",
    "CTCExportableModule": "CTC",
}


@dataclass(frozen=True)
class Group:
    """The models that share a table."""

    task: str
    wrapper: str
    models: tuple[Model, ...]

    @property
    def title(self) -> str:
        """The task, and the kind of model where a task has several."""
        return f"{self.task} ({_KINDS[self.wrapper]})" if len(TASKS[self.task]) > 1 else self.task

    @property
    def families(self) -> dict[str, tuple[Model, ...]]:
        """Its models by family."""
        names = dict.fromkeys(model.family for model in self.models)
        return {name: tuple(model for model in self.models if model.family == name) for name in names}


def groups() -> list[Group]:
    """The registry's models by task and wrapper."""
    rows = tuple(registry.home().values())
    found = [
        Group(task, wrapper, tuple(row for row in rows if (row.task, row.wrapper) == (task, wrapper)))
        for task, wrappers in TASKS.items()
        for wrapper in wrappers
    ]
    return [group for group in found if group.models]


def render_matrix(records: Sequence[Record]) -> str:
    """The README's part: what the signs mean, the totals, and for each task its families by configuration."""
    found = {record.cell: record for record in records}
    parts = [_legend(), _index(), _totals(found)]
    parts += [f"### {group.title}\n\n{_families(group, found)}" for group in groups()]
    parts += [figures.provenance(records)] if records else []
    return "\n\n".join(parts) + "\n"


def _legend() -> str:
    signs = (
        f"{SYMBOLS['pass']} passed every check",
        f"{PARTIAL} some of the family's models pass",
        f"{SYMBOLS['known_failure']} known failure, its cause written down",
        f"{SYMBOLS['not_applicable']} not applicable to this architecture",
        f"{SYMBOLS['fail']} failed",
        f"{SYMBOLS['inconclusive']} proves nothing",
        f"{SYMBOLS['blocked']} blocked",
    )
    return (
        f"{' · '.join(signs)} · *{NEVER_RUN}*: no record. Of what passes: the **speed-up** over eager PyTorch (in decoding, or "
        "of a call), the **size** of the file and its share of the same model's `xnnpack-fp32`, and what rounding **costs**: "
        "the share of positions with the same best token or class as eager fp32. Every sign leads to its evidence: figures, "
        "reason, record, versions, and the command that reproduces it."
    )


def _index() -> str:
    """Every family, for readers who look for one: its page has all of its models and configurations."""
    names = sorted({model.family for model in registry.home().values()})
    return f"Looking for a family? {' · '.join(f'[{name}]({PAGES}/{name}.md)' for name in names)}"


def _totals(found: Mapping[str, Record]) -> str:
    """How much of each task holds: over all configurations of the tier ``default``."""
    body = []
    for group in groups():
        cells = [found.get(Cell(model, name).name) for model in group.models for name in configurations(model, "default")]
        counts = collections.Counter(NEVER_RUN if record is None else record.status for record in cells)
        applicable = len(cells) - counts["not_applicable"]
        rest = {name: count for name, count in counts.items() if name not in ("pass", "not_applicable")}
        body.append(
            [
                f"[{group.title}](#{_slug(group.title)})",
                str(len(group.families)),
                str(len(group.models)),
                f"{counts['pass']} of {applicable}",
                ", ".join(f"{count} × {name.replace('_', ' ')}" for name, count in sorted(rest.items())) or "–",
                str(counts["not_applicable"]),
            ]
        )
    header = ["Task", "Families", "Models", "Applicable cells that pass", "The others", "Not applicable"]
    return figures.table(header, body)


def _slug(title: str) -> str:
    """The anchor that a heading gets."""
    return "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign == "-")


def _families(group: Group, found: Mapping[str, Record]) -> str:
    ids = CORE[group.wrapper]
    body = []
    for family, models in group.families.items():
        names = ", ".join(model.name for model in models)
        row = [f"**[{family}]({PAGES}/{family}.md)**<br>{names}"]
        row += [_cell([found.get(Cell(model, name).name) for model in models], found, f"{PAGES}/") for name in ids]
        body.append([*row, _others(models, ids, found)])
    return figures.table(["Family", *(f"`{name}`" for name in ids), "Others"], body)


def _others(models: Sequence[Model], ids: Sequence[str], found: Mapping[str, Record]) -> str:
    """Counts of the statuses of the models' other configurations of the tier ``default``."""
    rest = [
        found.get(Cell(model, name).name) for model in models for name in configurations(model, "default") if name not in ids
    ]
    counts = collections.Counter(NEVER_RUN if record is None else SYMBOLS[record.status] for record in rest)
    return ", ".join(f"{count} {symbol}" for symbol, count in counts.items())


def _cell(cells: Sequence[Record | None], found: Mapping[str, Record], pages: str) -> str:
    """One or several models of a family under one configuration."""
    records = [record for record in cells if record is not None]
    if not records:
        return NEVER_RUN
    statuses = {NEVER_RUN if record is None else record.status for record in cells}
    passing = [record for record in records if record.status == "pass"]
    shown = next((record for record in records if record.status != "pass"), records[0])
    evidence = f"{pages}{registry.get(shown.model).family}.md#{figures.anchor(shown)}"
    if len(statuses) > 1 and (passing or NEVER_RUN in statuses):
        sign = f"[{PARTIAL} {len(passing)} of {len(cells)}]({evidence})"
        return f"{sign} {_measured(passing, found)}" if passing else sign
    if not passing:
        return f"[{figures.status(shown)}]({evidence})"
    return f"[{SYMBOLS['pass']}]({evidence}) {_measured(passing, found)}"


def _measured(records: Sequence[Record], found: Mapping[str, Record]) -> str:
    """Speed-up, size, and what rounding costs, of cells that pass."""
    told = [figures.times([figures.speedup(record) for record in records]), figures.sizes([r.file_bytes for r in records])]
    shares = [_share(record, found) for record in records]
    known = sorted({f"{share:.0%}" for share in shares if share is not None}, key=lambda text: float(text[:-1]))
    if known and all(share is not None for share in shares):
        told[1] += f" ({known[0].removesuffix('%')}–{known[-1]})" if len(known) > 1 else f" ({known[0]})"
    cost = figures.cost(records)
    return ", ".join([*told, *([cost] if cost else [])])


def _share(record: Record, found: Mapping[str, Record]) -> float | None:
    """The file's size as a share of the same model's in fp32; ``None`` of what is in fp32 itself."""
    whole = found.get(f"{record.model}@xnnpack-fp32")
    if "quality" not in record.checks or whole is None or not whole.file_bytes or record.file_bytes is None:
        return None
    return record.file_bytes / whole.file_bytes


def render_support(records: Sequence[Record]) -> str:
    """``reports/SUPPORT.md``: every model by configuration, and every cell that does not pass with its reason."""
    found = {record.cell: record for record in records}
    parts = [
        "# Support matrix\n\nGenerated by `zoo report` from the records in [records](records); edits are overwritten and "
        "`zoo report --check` finds them."
        + figures.documented(" How to read it: [docs/reading-the-matrix.md](../docs/reading-the-matrix.md)."),
        _legend(),
        _totals(found),
    ]
    parts += [f"### {group.title}\n\n{_models(group, found)}" for group in groups()]
    red = [record for record in sorted(records, key=lambda record: record.cell) if record.status != "pass"]
    by_reason: dict[tuple[str, str, str], list[Record]] = {}
    for record in red:
        by_reason.setdefault((record.status, record.model, record.reason), []).append(record)
    if by_reason:
        parts.append("## What does not pass")
        parts.append("\n".join(_reason(cells) for cells in by_reason.values()))
    strangers = sorted(record.cell for record in records if record.model not in registry.home())
    if strangers:
        parts.append("## Not in the registry\n\n" + "\n".join(f"- {figures.code(cell)}" for cell in strangers))
    parts += [figures.provenance(records)] if records else []
    return "\n\n".join(parts) + "\n"


def _models(group: Group, found: Mapping[str, Record]) -> str:
    ids = CORE[group.wrapper]
    body = [
        [
            f"**[{model.name}](support/{model.family}.md#{model.name})**",
            *(_cell([found.get(Cell(model, name).name)], found, "support/") for name in ids),
            _others([model], ids, found),
        ]
        for model in group.models
    ]
    return figures.table(["Model", *(f"`{name}`" for name in ids), "Others"], body)


def _reason(cells: Sequence[Record]) -> str:
    """One reason, and the cells of a model that it holds for."""
    first = cells[0]
    names = ", ".join(figures.code(record.configuration) for record in cells)
    tracked = figures.link(first.issue, root="../")
    issue = f" ([issue]({tracked}))" if tracked else ""
    return f"- {figures.status(first)}{issue}, {figures.fact(first.model)} under {names}: {figures.inline(first.reason)}"
