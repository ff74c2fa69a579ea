"""The dashboard at full size: 1,000 models under 20 configurations each. ``pytest benchmarks/test_dashboard.py -s``.

The records are those of the project under other names, so that they are as large as real ones. pytest-benchmark's table has the
time in which the page is made, and the time from opening it in headless Chromium to a matrix that answers; the page's own marks
say what the latter consists of. Opening must take less than two seconds.
"""

import collections
import itertools
import json
import random
import shutil
import statistics
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from conformance.record import Record, read
from conformance.reports import dashboard

ROOT = Path(__file__).parents[1]
MODELS, CONFIGURATIONS = 1000, 20
OPENINGS = 7
LIMIT = 2.0
"""Seconds from navigation to an interactive matrix."""


@pytest.fixture(scope="module")
def run():
    real = read(ROOT / "reports" / "records")
    counts = collections.Counter(record.configuration for record in real)
    names = [name for name, _ in counts.most_common(CONFIGURATIONS)]
    tasks = sorted({(record.task, record.family) for record in real})
    source = itertools.cycle([record for record in real if record.status != "not_applicable"])
    records = []
    for number in range(MODELS):
        task, family = tasks[number % len(tasks)]
        for configuration in names:
            again = {"model": f"model-{number:04}", "family": family, "task": task, "configuration": configuration}
            record = next(source)
            if not record.error_by_position:
                again |= filled(len(records))
            records.append(record.model_copy(update=again))
    return dashboard.Run("current", "synthetic", tuple(records))


def filled(number: int) -> dict:
    """Errors along 190 positions and the delegation of 80 operators, for records that were made before there were any."""
    chance = random.Random(number)
    errors = [chance.lognormvariate(-12, 1) for _ in range(190)]
    operators = {f"aten_operator_{index}_default": 1 + (number + index) % 40 for index in range(40)}
    return {"error_by_position": errors, "delegation": {"delegates": 30, "delegated": operators, "undelegated": operators}}


@pytest.fixture(scope="module")
def page_file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("dashboard") / "large.html"
    dashboard.write_page(path, [run])
    return path


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


def test_records_are_read(benchmark, run, tmp_path):
    """For comparison: what reading and validating these records costs before the page is made."""
    lines = [record.model_dump_json() for record in run.records]
    benchmark.extra_info["MiB of records"] = round(sum(map(len, lines)) / 2**20, 1)
    benchmark.pedantic(lambda: [Record.model_validate_json(line) for line in lines], rounds=1)


def test_page_is_made(benchmark, run):
    text = benchmark.pedantic(dashboard.render, args=([run],), rounds=1)
    benchmark.extra_info["MiB"] = round(len(text) / 2**20, 1)
    print(f"\npage of {len(run.records)} cells: {len(text) / 2**20:.1f} MiB, made in {benchmark.stats.stats.min:.1f} s")


def test_page_opens(benchmark, page_file, chromium):
    """From navigation to a matrix that answers: the whole of it was filtered once more, and the frame after that was drawn."""
    openings = []

    def opened() -> None:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(page_file.as_uri(), wait_until="commit")
        page.wait_for_selector("[data-ready]", state="attached")
        openings.append(page.evaluate(MEASURE))
        context.close()

    benchmark.pedantic(opened, rounds=OPENINGS, warmup_rounds=1)
    found = {name: statistics.median(opening[name] for opening in openings) for name in openings[0]}
    benchmark.extra_info.update(found)
    print(f"\n{json.dumps({name: round(value) for name, value in found.items()})}")
    assert found["interactive"] < 1000 * LIMIT


MEASURE = """() => new Promise((resolve) => {
  const ready = performance.getEntriesByName("zoo:ready")[0].startTime;
  const done = () => {
    const search = document.querySelector("input[type=search]");
    const begun = performance.now();
    search.value = "model-0500";
    search.dispatchEvent(new Event("change", { bubbles: true }));
    const rows = document.querySelectorAll("#results tbody tr").length;
    if (rows !== 1) throw new Error(`${rows} rows are left`);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const answered = performance.now() - begun;
      const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
      resolve({ ready, loaded, answered, interactive: Math.max(ready, loaded) + answered });
    }));
  };
  if (document.readyState === "complete") setTimeout(done); else addEventListener("load", () => setTimeout(done));
})"""
"""Milliseconds since navigation until the matrix was drawn (``ready``) and all of the file was read (``loaded``); how long a
search takes then until its frame is drawn (``answered``); and both together."""
