"""How often the gate is wrong: ``python -m benchmarks.gate_experiment`` gates real measurements, again and again.

In half of the gatings nothing has changed. In the other half each decoded token (each call of a model of one pass) takes 10 %
longer: a wrapper spins for a tenth of the time that the program itself just took. Every gating measures anew, by the gate's
own code: a launch is a process that opens the cached artifact and the eager model and times them in turns, a gating begins
with one, and makes more while it cannot tell. What gatings share is the baseline, which is measured anew every ``--renew``
gatings of a cell, and the fork server that launches are forked from. Nothing is drawn again from earlier measurements.

On the way every gating is also given results with a regression of correctness or structure put in, and has to stop each.

It writes ``reports/gate-experiment.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import psutil
import scipy

from conformance import baselines, changes, gate, launches
from conformance import statistics as paired
from conformance.baselines import Entry
from conformance.launches import Launcher
from conformance.record import Record
from conformance.trail import LaunchRequest, processor
from conformance.worker import run_isolated
from zoo.cache import stack_versions

CELLS = ("gemma3-270m@xnnpack-fp32-sdpa-kv", "bert-base@xnnpack-fp32")
"""A decoder, by token, and a model of one pass."""
SLOWDOWN = 0.10
SEEDED = {"decode", "infer"}
"""The phases that are slowed down."""
ARMS: Mapping[str, str] = {"identical": launches.TARGET, "slowed": "benchmarks.gate_experiment:slowed"}
"""What a child calls, by what was done to the program."""


class Slowed:
    """A session that takes longer for each token, or each call: it spins for a share of the time the inner one took."""

    def __init__(self, inner: Any, share: float) -> None:
        self.inner, self.share = inner, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def forward(self, tokens: Any, position: int) -> Any:
        return (
            self._longer(self.inner.forward, tokens, position) if tokens.shape[1] == 1 else self.inner.forward(tokens, position)
        )

    def infer(self, inputs: Any) -> Any:
        return self._longer(self.inner.infer, inputs)

    def _longer(self, work: Any, *arguments: Any) -> Any:
        began = time.perf_counter()
        answer = work(*arguments)
        now = time.perf_counter()
        until = now + self.share * (now - began)
        while time.perf_counter() < until:
            pass
        return answer


def slowed(request: LaunchRequest) -> Record:
    """A launch of a program that is slower than it was. It is called in a child process."""
    from conformance.remeasure import time_cell

    return time_cell(request, wrap=lambda session: Slowed(session, SLOWDOWN))


def measured(cell: str, directory: Path, target: str, further: int = 0) -> Entry:
    """What a run would find of a cell, from one launch; and ``further`` ones, as a baseline has them.

    Raises:
        RuntimeError: the cell cannot be measured.
    """
    launcher = Launcher(directory, target=target)
    model, _, configuration = cell.partition("@")
    record = run_isolated(
        LaunchRequest(model, configuration, os.fspath(directory / "first"), blocks=launches.BLOCKS), target=target
    )
    if record.failure is not None:
        raise RuntimeError(f"{cell}: {record.reason}\n{record.failure.traceback}")
    return baselines.entry(record, [launcher.samples(cell) for _ in range(further)])


def regressions(entry: Entry) -> Iterator[tuple[str, Entry]]:
    """The entry with a regression put in, each with its name."""
    operators = {**(entry.undelegated or {}), "aten_addmm_default": (entry.undelegated or {}).get("aten_addmm_default", 0) + 1}
    for name, fields in {
        "a changed token": {"tokens_sha256": "0" * 16},
        "a lost delegate": {"delegates": (entry.delegates or 0) - 1},
        "a status": {"status": "fail", "reason": "logits: max abs logit error 1.0"},
        "a stage moved back": {"furthest_stage": "open"},
        "an operator no longer delegated": {"undelegated": operators},
        "a file grown": {"file_bytes": round(1.02 * (entry.file_bytes or 0)) + 1025},
        "a check not made": {"checks": {}},
        "a method lost": {"methods": ()},
    }.items():
        yield name, entry.model_copy(update=fields)


def gated(cell: str, before: Entry, after: Entry, launcher: Launcher | None) -> gate.Verdict:
    return gate.judge({cell: before}, {cell: after}, covered=[cell], more=launcher)


def run(cells: tuple[str, ...], gatings: int, renew: int, further: int, directory: Path) -> list[dict[str, Any]]:
    """``gatings`` of each arm, in turns over arms and cells; a row for each."""
    rows: list[dict[str, Any]] = []
    before: dict[str, Entry] = {}
    for number in range(gatings):
        cell = cells[number % len(cells)]
        if number // len(cells) % renew == 0:
            before[cell] = measured(cell, directory, launches.TARGET, further).model_copy(
                update={"reference_sha256": "a" * 16, "tokens_sha256": "b" * 16}  # a launch says nothing; a run does
            )
        for arm, target in ARMS.items():
            began = time.perf_counter()
            after = measured(cell, directory, target).model_copy(
                update={"reference_sha256": "a" * 16, "tokens_sha256": "b" * 16}
            )
            verdict = gated(cell, before[cell], after, Launcher(directory, target=target))
            slower = {change.figure for change in verdict.failures if change.kind == "slower"}
            stopped = {name: not gated(cell, before[cell], worse, None).passed for name, worse in regressions(after)}
            rows.append(
                {
                    "arm": arm,
                    "cell": cell,
                    "outcome": "fail" if verdict.failures else "inconclusive" if verdict.inconclusive else "pass",
                    "slower": sorted(slower),
                    "seeded_phase_slower": bool(slower & SEEDED),
                    "inconclusive": [change.what for change in verdict.inconclusive],
                    "failures": [change.what for change in verdict.failures],
                    "regressions_stopped": sum(stopped.values()),
                    "regressions": len(stopped),
                    "launches": 1 + verdict.launches,
                    "seconds": round(time.perf_counter() - began, 2),
                }
            )
            row = rows[-1]
            print(
                f"[{number + 1}/{gatings}] {arm:<9} {cell}  {row['outcome']:<12} {row['launches']:>2} launches "
                f"{row['seconds']:5.1f} s  {'; '.join(row['failures'] + row['inconclusive'])}",
                flush=True,
            )
    return rows


def spread(cells: tuple[str, ...], count: int, directory: Path) -> dict[str, dict[str, float]]:
    """How much pairs and launches differ when nothing does, by cell and phase: standard deviations of log ratios."""
    found: dict[str, dict[str, float]] = {}
    for cell in cells:
        print(f"{count} launches of {cell}", flush=True)
        entry = measured(cell, directory, launches.TARGET, count - 1)
        for phase in entry.latency:
            side = entry.launches(phase)
            limit = paired.QUIET * float(numpy.quantile([each for launch in side for each in launch.reference], 0.1))
            quiet = [
                [ratio for ratio, slow in zip(launch.ratios, launch.reference, strict=True) if slow <= limit] for launch in side
            ]
            kept = [ratios for ratios in quiet if len(ratios) >= paired.LEAST_PAIRS]
            means = [statistics.fmean(ratios) for ratios in kept]
            found[f"{cell} {phase}"] = {
                "pairs": sum(len(launch.ratios) for launch in side),
                "quiet_share": round(sum(map(len, quiet)) / sum(len(launch.ratios) for launch in side), 3),
                "quiet_launches": len(kept),
                "pair_sd": round(statistics.median(map(statistics.stdev, kept)), 4) if kept else float("nan"),
                "launch_sd": round(statistics.stdev(means), 4) if len(means) > 1 else float("nan"),
                "eager_ms": round(1e3 * limit / paired.QUIET, 4),
            }
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by arm."""
    told: dict[str, Any] = {}
    for arm in ARMS:
        mine = [row for row in rows if row["arm"] == arm]
        told[arm] = {
            "gatings": len(mine),
            **{name: collections.Counter(row["outcome"] for row in mine)[name] for name in ("fail", "pass", "inconclusive")},
            "seeded_phase_slower": sum(row["seeded_phase_slower"] for row in mine),
            "launches_median": statistics.median(row["launches"] for row in mine),
            "launches_most": max(row["launches"] for row in mine),
            "seconds_median": round(statistics.median(row["seconds"] for row in mine), 2),
            "seconds_most": max(row["seconds"] for row in mine),
        }
    told["regressions"] = {name: sum(row[name] for row in rows) for name in ("regressions", "regressions_stopped")}
    return told


def markdown(result: Mapping[str, Any]) -> str:
    """The figures as a page."""
    arms, host = result["summary"], result["host"]
    lines = [
        "# The gate, measured",
        "",
        "Generated by `python -m benchmarks.gate_experiment`; what is measured anew and what is shared is said in that file. "
        "How to read it: [docs/gate.md](../docs/gate.md).",
        "",
        "| | gatings | stopped | passed | inconclusive | launches (median, most) | seconds (median, most) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm, title in (("identical", "identical artifacts"), ("slowed", f"{result['slowdown']:.0%} slower")):
        told = arms[arm]
        lines.append(
            f"| {title} | {told['gatings']} | {told['fail']} | {told['pass']} | {told['inconclusive']} | "
            f"{told['launches_median']:g}, {told['launches_most']} | {told['seconds_median']}, {told['seconds_most']} |"
        )
    lines += [
        "",
        f"Of the {arms['slowed']['gatings']} slowdowns {arms['slowed']['seeded_phase_slower']} were found in the phase that "
        f"was slowed. Regressions of correctness and structure: {arms['regressions']['regressions_stopped']} of "
        f"{arms['regressions']['regressions']} stopped.",
        "",
        "By cell:",
        "",
        "| cell | | stopped | passed | inconclusive |",
        "| --- | --- | --- | --- | --- |",
    ]
    for cell in result["cells"]:
        for arm in ARMS:
            mine = collections.Counter(row["outcome"] for row in result["rows"] if (row["cell"], row["arm"]) == (cell, arm))
            lines.append(f"| {cell} | {arm} | {mine['fail']} | {mine['pass']} | {mine['inconclusive']} |")
    lines += [
        "",
        f"How much nothing differs, over {result['spread_launches']} launches (standard deviations of the log ratio to eager):",
        "",
        "| cell, phase | quiet pairs | quiet launches | pair to pair | launch to launch |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, each in result["spread"].items():
        quiet = f"{each['quiet_share']:.0%} | {each['quiet_launches']}"
        lines.append(f"| {name} | {quiet} | {each['pair_sd']:.1%} | {each['launch_sd']:.1%} |")
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines += [
        "",
        f"Measured {result['created'][:10]} on {host['processor']}, {host['cpus']} processors, load {host['load_before']} "
        f"before and {host['load_after']} after (the experiment itself is 1), in {result['seconds'] / 60:.1f} minutes; "
        f"{versions}. Margin {changes.SPEED_MARGIN:.0%}, error rate {changes.ERROR_RATE:.0%}, {launches.BLOCKS} blocks a "
        f"launch, {result['baseline_launches']} launches in a baseline, at most {gate.MOST_LAUNCHES} more in a gating.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gatings", type=int, default=100, help="of identical artifacts, and as many of slowed ones")
    parser.add_argument("--renew", type=int, default=25, help="gatings of a cell after which its baseline is measured anew")
    parser.add_argument("--baseline-launches", type=int, default=8)
    parser.add_argument("--spread-launches", type=int, default=20)
    parser.add_argument("--cell", action="append", help=f"default: {', '.join(CELLS)}")
    parser.add_argument("--output", type=Path, default=Path("reports/gate-experiment"), help="without suffix")
    options = parser.parse_args()
    cells = tuple(options.cell or CELLS)
    began, load = time.perf_counter(), psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="gate-experiment-") as name:
        directory = Path(name)
        noise = spread(cells, options.spread_launches, directory)
        rows = run(cells, options.gatings, options.renew, options.baseline_launches - 1, directory)
    result = {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "host": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "load_before": round(load, 1),
            "load_after": round(psutil.getloadavg()[0], 1),
        },
        "versions": {**stack_versions(), "numpy": numpy.__version__, "scipy": scipy.__version__},
        "cells": cells,
        "slowdown": SLOWDOWN,
        "baseline_launches": options.baseline_launches,
        "spread_launches": options.spread_launches,
        "seconds": round(time.perf_counter() - began, 1),
        "summary": summary(rows),
        "spread": noise,
        "rows": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.with_suffix(".json").write_text(json.dumps(result, indent=1, allow_nan=True) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))


if __name__ == "__main__":
    main()
