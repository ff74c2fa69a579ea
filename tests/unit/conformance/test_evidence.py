"""A family's page has a row for each record, with where it is and what runs it again."""

import re
import shlex

from conformance import matrix
from conformance.record import Check, StageRecord, append, read, write
from conformance.reports.evidence import HEADER, render_families
from zoo import registry


def rows(text):
    """The rows of the page's tables as {configuration: {column: text}}."""
    found = {}
    for line in text.splitlines():
        cells = [part.strip() for part in line.strip("| ").split(" | ")]
        if line.startswith("| <a id"):
            found[re.search("`(.*)`", cells[0])[1]] = dict(zip(HEADER, cells, strict=True))
    return found


def test_figures_that_were_not_finite_can_be_shown(tmp_path, make_record):
    nan = float("nan")
    figures = {"max_abs_error": nan, "top1": 0.5, "kl_mean": nan, "sqnr_db": -float("inf")}
    checks = {name: Check(status="fail", message="nan", metrics=figures) for name in ("logits", "quality")}
    append(tmp_path / "records.jsonl", make_record(status="fail", reason="nan", checks=checks))
    assert "top-1 0.500" in render_families(read(tmp_path / "records.jsonl"))["smollm2"]


def test_export_seconds_are_the_sum_of_the_export_stages_only(make_record):
    stages = [StageRecord(name=name, seconds=1.5) for name in ("resolve", "export", "lower", "run")]
    page = render_families([make_record(stages=stages)])["smollm2"]
    assert rows(page)["portable-fp32"]["Export s"] == "3.0"


def test_a_row_leads_to_the_line_of_its_record(tmp_path, make_record):
    records = [make_record(configuration=name, file_bytes=1024 * size) for size, name in enumerate("zkamb", start=1)]
    write(tmp_path / "records", records)
    lines = (tmp_path / "records" / "smollm2-135m.jsonl").read_text(encoding="utf-8").splitlines()
    for name, row in rows(render_families(records)["smollm2"]).items():
        file, line = re.search(r"records/([\w.-]+)#L(\d+)", row["Record"]).groups()
        assert file == "smollm2-135m.jsonl"
        assert f'"configuration":"{name}"' in lines[int(line) - 1]


def test_every_cell_that_can_be_run_has_a_command_that_chooses_it(make_record):
    records = [
        make_record(configuration="portable-fp32"),
        make_record(configuration="xnnpack-fp32", scale="full", host={"threads": 2}),
        make_record(configuration="portable-fp16", status="not_applicable", reason="not here"),
    ]
    page = render_families(records)["smollm2"]
    commands = [shlex.split(line) for line in page.splitlines() if line.startswith("zoo run")]
    assert commands == [
        ["zoo", "run", "smollm2-135m", "-c", "portable-fp32"],
        ["zoo", "run", "smollm2-135m", "-c", "xnnpack-fp32", "--scale", "full", "--threads", "2"],
    ]
    for _, _, name, _, configuration, *_ in commands:
        (cell,) = matrix.cells(registry.select((name,)), (configuration,))
        assert cell.name == f"{name}@{configuration}"


def test_versions_and_the_processor_are_told(make_record):
    record = make_record(versions={"torch": "2.13.0"}, host={"threads": 1, "processor": "A <b> CPU"})
    assert "on A \\<b\\> CPU, 1 thread(s), with torch 2.13.0." in render_families([record])["smollm2"]
