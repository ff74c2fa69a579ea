"""How often the gate is wrong: ``python -m benchmarks.gate_experiment`` times real programs, and gates them a thousand times.

First launches are made, each a process of its own that opens the cached artifact and eager PyTorch and times them in turns. In
every second one each decoded token (each call of a model of one pass) takes 10 % longer: a wrapper spins for a tenth of the
time that the program itself just took. Then gatings are simulated with these launches, by the gate's own code: a baseline of
twelve launches that followed each other, and a run whose launches followed each other, too, before or after those, of the same
program or of the slowed one; the gate takes as many as it asks for. All gatings are made that the launches allow: 1190 of
each kind from 70 launches. So launches are real and none is in both sides of a gating, but different gatings share launches,
and are no independent evidence. Every gating is also given results with a regression of correctness or structure put in, and
has to stop each.

Gatings that are independent of each other need launches without end: those of the experiment drawn one by one at random, and
noise that is made up (``benchmarks.gate_noise``).

It writes ``reports/gate-experiment.json``, with what was used of each launch, and ``.md``; and for docs/verdicts.md
``reports/verdicts/latency-aa.json``. ``--again`` gates the launches of that experiment anew, in some minutes.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import scipy

from benchmarks.gate_noise import NOISES, drawn
from conformance import baselines, changes, gate
from conformance.baselines import Entry
from conformance.launches import BLOCKS, TARGET, Launcher
from conformance.record import Record
from conformance.reports.verdicts import DIRECTORY, Alarms, Gatings, LatencyAlarms
from conformance.statistics import Launch
from conformance.trail import CellRequest, LaunchRequest, processor
from conformance.worker import run_isolated
from zoo.cache import stack_versions

CELLS = ("gemma3-270m@xnnpack-fp32-sdpa-kv", "bert-base@xnnpack-fp32")
"""A decoder, by token, and a model of one pass."""
SLOWDOWN = 0.10
BASELINE_LAUNCHES = 12
SEEDED = {"decode", "infer"}
"""The phases that are slowed down."""
ARMS: Mapping[str, str] = {"identical": TARGET, "slowed": "benchmarks.gate_experiment:slowed"}
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


def run_once(cell: str, directory: Path) -> Record:
    """The record of the cell, without latency; a run says more than a launch.

    Raises:
        RuntimeError: the cell does not pass.
    """
    model, _, configuration = cell.partition("@")
    record = run_isolated(CellRequest(model, configuration, os.fspath(directory / "cell")))
    if record.status != "pass":
        raise RuntimeError(f"{cell}: {record.reason}")
    return record.model_copy(update={"latency": {}})


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
        if all(getattr(entry, figure) not in (None, {}) for figure in fields if figure != "reason"):
            yield name, entry.model_copy(update=fields)


def gated(cell: str, before: Entry, after: Entry, further: Iterator[Mapping[str, Launch]] | None) -> gate.Verdict:
    """What the gate says when it gets ``further`` launches one after the other."""
    more = None if further is None else (lambda _: next(further, {}))
    return gate.judge({cell: before}, {cell: after}, covered=[cell], more=more)


def pool(cell: str, count: int, directory: Path) -> dict[str, list[Mapping[str, Any]]]:
    """The samples of ``count`` launches of either arm, made in turns.

    Raises:
        RuntimeError: the cell cannot be measured.
    """
    launchers = {arm: Launcher(directory, target=target) for arm, target in ARMS.items()}
    found: dict[str, list[Mapping[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(count):
        for arm, launcher in launchers.items():
            found[arm].append(launcher.samples(cell))
            if launcher.failures:
                raise RuntimeError(f"{cell}: {launcher.failures[cell]}")
    return found


def windows(count: int) -> list[tuple[int, int]]:
    """Where the baseline and the run of each gating begin that ``count`` launches allow."""
    run = 1 + gate.MOST_LAUNCHES
    starts = itertools.product(range(count - BASELINE_LAUNCHES + 1), range(count - run + 1))
    return [(first, second) for first, second in starts if second >= first + BASELINE_LAUNCHES or second + run <= first]


def chosen(count: int, gatings: int | None) -> list[tuple[int, int]]:
    """All of ``windows``, or so many of them, at random."""
    found = windows(count)
    if gatings is None or gatings >= len(found):
        return found
    return [found[index] for index in sorted(np.random.default_rng(0).choice(len(found), gatings, replace=False))]


def simulate(
    cell: str, launches: Mapping[str, Sequence[Mapping[str, Any]]], base: Record, gatings: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Gatings of each arm, whose baselines and runs begin at the given places of ``launches``; a row for each."""
    rows = []
    for first, second in gatings:
        before = baselines.entry(base, launches["identical"][first : first + BASELINE_LAUNCHES])
        for arm in ARMS:
            window = launches[arm][second : second + 1 + gate.MOST_LAUNCHES]
            after = baselines.entry(base, window[:1])
            verdict = gated(cell, before, after, iter([by_phase(base, samples) for samples in window[1:]]))
            stopped = [not gated(cell, before, worse, None).passed for _, worse in regressions(after)]
            slower = {change.figure for change in verdict.failures if change.kind == "slower"}
            rows.append(
                {
                    "arm": arm,
                    "cell": cell,
                    "outcome": "fail" if verdict.failures else "inconclusive" if verdict.inconclusive else "pass",
                    "slower": sorted(slower),
                    "faster": any(change.kind == "faster" for change in verdict.improvements),
                    "seeded_phase_slower": bool(slower & SEEDED),
                    "regressions_stopped": sum(stopped),
                    "regressions": len(stopped),
                    "launches": 1 + verdict.launches,
                }
            )
    return rows


def spread(base: Record, launches: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How much launches differ when nothing does, by phase: of log ratios, the standard deviation and what it would be if the
    middle half were the whole story."""
    found = {}
    for phase in launches[0]:
        ratios = [baselines.entry(base, [samples]).latency[phase][0].ratio for samples in launches]
        low, high = np.quantile(ratios, [0.25, 0.75])
        found[phase] = {"sd": round(float(np.std(ratios, ddof=1)), 4), "sd_of_middle": round(float(high - low) / 1.349, 4)}
    return found


def counted(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of one arm of a cell."""
    outcomes = collections.Counter(row["outcome"] for row in rows)
    return {
        "gatings": len(rows),
        **{name: outcomes[name] for name in ("fail", "pass", "inconclusive")},
        "faster": sum(row["faster"] for row in rows),
        "seeded_phase_slower": sum(row["seeded_phase_slower"] for row in rows),
        "launches_median": statistics.median(row["launches"] for row in rows),
        "launches_most": max(row["launches"] for row in rows),
    }


def told(slower: int, faster: int, inconclusive: int, gatings: int) -> Gatings:
    """Counts, with the bound of the share of ``slower``."""
    test = scipy.stats.binomtest(slower, gatings, alternative="less")
    return Gatings(
        gatings=gatings,
        slower=slower,
        faster=faster,
        inconclusive=inconclusive,
        same=gatings - slower - faster - inconclusive,
        slower_at_most=round(float(test.proportion_ci(0.95).high), 5),
    )


def alarms(result: Mapping[str, Any], count: int) -> LatencyAlarms:
    """How often identical artifacts are called slower: with the timed launches as summarised, and ``count`` times with those
    drawn at random, and with each noise."""

    def ends(found: collections.Counter[str]) -> Gatings:
        return told(found["slower"], found["faster"], found["inconclusive"], found.total())

    rows = []
    for cell, each in result["cells"].items():
        arms = [told(*(each["summary"][arm][name] for name in ("fail", "faster", "inconclusive", "gatings"))) for arm in ARMS]
        rows.append(Alarms(launches="timed", name=cell, says="", identical=arms[0], slowed=arms[1]))
    for seed, (cell, each) in enumerate(result["cells"].items()):
        print(f"{count} gatings of either kind with launches of {cell} drawn at random", flush=True)
        base = Record.model_validate(each["record"])
        pools = {arm: [by_phase(base, samples) for samples in each["launches"][arm]] for arm in ARMS}
        same, slower = (ends(drawn(pools["identical"], pools[arm], count, seed)) for arm in ARMS)
        rows.append(Alarms(launches="drawn", name=cell, says="", identical=same, slowed=slower))
    for seed, (name, noise) in enumerate(NOISES.items()):
        print(f"{count} gatings of either kind with noise that is made up: {name}", flush=True)
        same, slower = (ends(noise.gatings(count, share, seed)) for share in (0.0, result["slowdown"]))
        kind: Literal["worse", "made up"] = "worse" if noise.worse else "made up"
        rows.append(Alarms(launches=kind, name=name, says=noise.says, identical=same, slowed=slower))
    return LatencyAlarms(
        created=result["created"],
        processor=result["host"]["processor"],
        versions=result["versions"],
        slowdown=result["slowdown"],
        margin=changes.SPEED_MARGIN,
        launches=result["launches"],
        alarms=rows,
    )


def by_phase(base: Record, samples: Mapping[str, Any]) -> dict[str, Launch]:
    """A launch, as the gate takes it."""
    entry = baselines.entry(base, [samples])
    return {phase: entry.launches(phase)[0] for phase in entry.latency}


def markdown(result: Mapping[str, Any]) -> str:
    """The figures as a page."""
    host = result["host"]
    lines = [
        "# The gate, measured",
        "",
        "Generated by `python -m benchmarks.gate_experiment`; that file says what is measured and what is simulated. "
        "How to read it: [docs/gate.md](../docs/gate.md).",
        "",
        "| cell | | gatings | stopped | passed | inconclusive | launches (median, most) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, cell in result["cells"].items():
        for arm, title in (("identical", "identical artifacts"), ("slowed", f"{result['slowdown']:.0%} slower")):
            told = cell["summary"][arm]
            lines.append(
                f"| {name} | {title} | {told['gatings']} | {told['fail']} | {told['pass']} | {told['inconclusive']} | "
                f"{told['launches_median']:g}, {told['launches_most']} |"
            )
    total = [sum(cell[name] for cell in result["cells"].values()) for name in ("regressions_stopped", "regressions")]
    found = ", ".join(
        f"{cell['summary']['slowed']['seeded_phase_slower']} of {cell['summary']['slowed']['gatings']} of {name}"
        for name, cell in result["cells"].items()
    )
    lines += [
        "",
        f"Found in the phase that was slowed: {found}. Regressions of correctness and structure: {total[0]} of {total[1]} "
        "stopped.",
        "",
        f"How far {result['launches']} launches of the same program are apart (log ratio to eager PyTorch):",
        "",
        "| cell | phase | standard deviation | of the middle half |",
        "| --- | --- | --- | --- |",
    ]
    for name, cell in result["cells"].items():
        lines += [
            f"| {name} | {phase} | {each['sd']:.1%} | {each['sd_of_middle']:.1%} |" for phase, each in cell["spread"].items()
        ]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines += [
        "",
        f"Measured {result['created'][:10]} on {host['processor']}, {host['cpus']} processors, load {host['load_before']} "
        f"before and {host['load_after']} after (the experiment itself is 1), in {result['seconds'] / 60:.1f} minutes; "
        f"{versions}. Margin {changes.SPEED_MARGIN:.0%}, error rate {changes.ERROR_RATE:.0%}, {BLOCKS} blocks a launch, "
        f"{BASELINE_LAUNCHES} launches in a baseline, at most {gate.MOST_LAUNCHES} more in a gating.",
    ]
    return "\n".join(lines) + "\n"


def fastest(launches: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What is used of launches: the fastest step of each side."""
    return {
        arm: [{phase: {side: [min(times)] for side, times in sides.items()} for phase, sides in each.items()} for each in found]
        for arm, found in launches.items()
    }


def measured(cells: Sequence[str], count: int, directory: Path) -> dict[str, Any]:
    """The launches of the cells, and where and when they were made."""
    began, load = time.perf_counter(), psutil.getloadavg()[0]
    found = {}
    for cell in cells:
        print(f"{count} launches of either kind of {cell}", flush=True)
        base = run_once(cell, directory)
        found[cell] = {"record": base.model_dump(mode="json"), "launches": fastest(pool(cell, count, directory))}
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "host": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "load_before": round(load, 1),
            "load_after": round(psutil.getloadavg()[0], 1),
        },
        "versions": {**stack_versions(), "numpy": np.__version__, "scipy": scipy.__version__},
        "slowdown": SLOWDOWN,
        "launches": count,
        "seconds": round(time.perf_counter() - began, 1),
        "cells": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gatings", type=int, help="only so many of identical artifacts, and of slowed ones, chosen at random")
    parser.add_argument("--made-up", type=int, default=1000, help="gatings with launches drawn at random, and with each noise")
    parser.add_argument("--launches", type=int, default=70, help="processes of either, that the gatings take theirs from")
    parser.add_argument("--cell", action="append", help=f"default: {', '.join(CELLS)}")
    parser.add_argument("--again", action="store_true", help="gate the launches of the last experiment anew")
    parser.add_argument("--output", type=Path, default=Path("reports/gate-experiment"), help="without suffix")
    parser.add_argument("--alarms", type=Path, default=DIRECTORY / "latency-aa.json", help="the figures of docs/verdicts.md")
    options = parser.parse_args()
    least = 2 * (gate.MOST_LAUNCHES + 1)
    if options.launches < least:
        parser.error(f"--launches {options.launches}: at least {least}, so that a gating finds those that it may ask for")
    data = options.output.with_suffix(".json")
    if options.again:
        result = json.loads(data.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory(prefix="gate-experiment-") as name:
            result = measured(options.cell or CELLS, options.launches, Path(name))
    for name, cell in result["cells"].items():
        base = Record.model_validate(cell["record"])
        rows = simulate(name, cell["launches"], base, chosen(result["launches"], options.gatings))
        cell["summary"] = {arm: counted([row for row in rows if row["arm"] == arm]) for arm in ARMS}
        cell["regressions"] = sum(row["regressions"] for row in rows)
        cell["regressions_stopped"] = sum(row["regressions_stopped"] for row in rows)
        cell["spread"] = spread(base, cell["launches"]["identical"])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    data.write_text(json.dumps(result) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    found = alarms(result, options.made_up)
    options.alarms.parent.mkdir(parents=True, exist_ok=True)
    options.alarms.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(markdown(result))


if __name__ == "__main__":
    main()
