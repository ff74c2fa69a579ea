"""What is derived from records: valid in the format it claims, true to the records, and inert whatever they hold."""

import copy
import csv
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml

from conformance.errors import ConformanceError
from conformance.inert import inert
from conformance.record import GREEN, Check, Failure, GenerationRecord, Record, StageRecord, read
from conformance.reports import step_summary, tabular
from conformance.reports.ctrf import STATUS, render_ctrf
from conformance.reports.generated import RECORDS
from conformance.reports.junit import OUTCOME, render_junit
from conformance.reports.schema import SCHEMA, record_schema, render_schema

ROOT = Path(__file__).parents[3]
CTRF = json.loads((ROOT / "tests" / "data" / "ctrf" / "ctrf-schema-0.0.json").read_text())
STATUSES = Record.model_fields["status"].annotation.__args__
NASTY = (
    "<script>alert(1)</script>",
    "</td></table> & &amp; \"quotes\" 'single'",
    "| a | b |\n| --- | --- |",
    "`code` *bold* [link](https://example.org) ![image](x) ~~gone~~",
    "@octocat #1 https://example.org www.example.org deadbeef",
    "=HYPERLINK(\"x\")",
    "+1", "-1+2", "@SUM(A1)", "\t=1", "＝1",
    "]]> <!-- --> <?php ?>",
    "\x00\x01\x08\x0b\x1b[31m \x7f \x85 \u2028 \ufffe \uffff 🦭",
    "\u202egnp.exe",
    "line\r\nline\rline\n",
)  # fmt: skip


def full(make_record, text="text", status="fail", **fields):
    """A record that has something everywhere, with ``text`` wherever text from outside can be."""
    return make_record(
        **{
            "status": status,
            "model": text or "m",
            "family": text,
            "configuration": text,
            "task": text,
            "scale": text,
            "hub_id": text,
            "revision": text,
            "reason": text,
            "issue": text,
            "stages": [
                StageRecord(name="export", seconds=2.5, peak_memory_bytes=7, cached=True),
                StageRecord(name="run", seconds=1.25, peak_memory_bytes=5),
            ],
            "failure": Failure(stage="run", kind=text, message=text, stderr=[text, text], traceback=text),
            "checks": {
                text: Check(status="fail", message=text, metrics={text: text}),
                "logits": Check(status="pass", message=text, metrics={"max_abs_error": 0.5, "top1": None}),
            },
            "generations": [
                GenerationRecord(
                    prompt=text, prompt_tokens=1, reference=[1], tokens=[2], text=text, stop=text, smallest_margin=None
                )
            ],
            "latency": {"eager": {"load_ms": 2.0}, "executorch": {"load_ms": 1.0, "decode_speedup": 3.0}},
            "file_bytes": 5,
            "versions": {"torch": text},
            "host": {"threads": 1, "machine": text},
            **fields,
        }
    )


@pytest.fixture(scope="module")
def committed():
    return read(ROOT / RECORDS)


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(record_schema())
    return jsonschema.Draft202012Validator(record_schema())


# JSON Schema


def test_the_committed_schema_is_that_of_this_code():
    assert (ROOT / SCHEMA).read_text() == render_schema(), "'zoo report' writes it anew"


def test_every_committed_record_is_valid(validator):
    lines = [line for file in sorted((ROOT / RECORDS).glob("*.jsonl")) for line in file.read_text().split("\n") if line]
    assert len(lines) > 500
    for line in lines:
        validator.validate(json.loads(line))


def mutations():
    def removed(record):
        del record["status"]

    return {
        "a status that there is not": lambda record: record.update(status="passed"),
        "no status": removed,
        "a field that there is not": lambda record: record.update(speed=1),
        "a number as text": lambda record: record.update(file_bytes="many"),
        "a version to come": lambda record: record.update(schema_version=99),
        "a stage without a name": lambda record: record["stages"].append({"seconds": 1.0}),
        "a check without a verdict": lambda record: record["checks"].update(logits={"message": "", "metrics": {}}),
        "a field of a check that there is not": lambda record: record["checks"]["contract"].update(passed=True),
        "tokens as text": lambda record: record["generations"][0].update(tokens=["a"]),
    }


@pytest.mark.parametrize("mutation", mutations())
def test_what_is_no_record_is_not_valid(committed, validator, mutation):
    record = next(record for record in committed if record.generations and "contract" in record.checks)
    good = json.loads(record.model_dump_json())
    assert validator.is_valid(good)
    bad = copy.deepcopy(good)
    mutations()[mutation](bad)
    assert not validator.is_valid(bad)
    with pytest.raises(ValueError, match="validation error"):
        Record.model_validate_json(json.dumps(bad))  # the schema refuses nothing that the code takes


@pytest.mark.parametrize("text", NASTY)
def test_records_with_any_text_are_valid(make_record, validator, text):
    validator.validate(json.loads(full(make_record, text).model_dump_json()))


# CTRF


def ctrf(records):
    report = json.loads(render_ctrf(records))
    jsonschema.Draft7Validator(CTRF, format_checker=jsonschema.FormatChecker()).validate(report)
    return report["results"]


def test_ctrf_of_the_committed_records(committed):
    results = ctrf(committed)
    assert [test["name"] for test in results["tests"]] == sorted(record.cell for record in committed)
    by = {record.cell: record for record in committed}
    assert all(test["rawStatus"] == by[test["name"]].status for test in results["tests"])
    assert render_ctrf(committed) == render_ctrf(committed)


def test_ctrf_counts_what_it_lists(make_record):
    records = [full(make_record, status=status, configuration=status) for status in STATUSES]
    results = ctrf(records)
    counts = results["summary"]
    assert counts["tests"] == len(STATUSES)
    for name in ("passed", "failed", "skipped", "pending", "other"):
        assert counts[name] == sum(test["status"] == name for test in results["tests"])
    test = results["tests"][0]
    assert (test["duration"], test["stop"] - test["start"]) == (1250, 1250)  # the cached stage did not run
    assert (counts["start"], counts["stop"]) == (test["start"], test["stop"])


def test_ctrf_of_nothing_and_of_dates_that_are_none(make_record):
    assert ctrf([])["summary"]["tests"] == 0
    assert ctrf([make_record(created="yesterday")])["tests"][0]["start"] == 0


def test_what_fails_a_run_is_not_green_anywhere():
    assert set(STATUS) == set(OUTCOME) == set(STATUSES)
    for status in STATUSES:
        assert (STATUS[status] == "failed") == (status not in GREEN)
        assert (OUTCOME[status] in ("failure", "error")) == (status not in GREEN)
    assert [status for status in STATUSES if STATUS[status] == "passed"] == ["pass"]
    assert [status for status in STATUSES if OUTCOME[status] is None] == ["pass"]


@pytest.mark.parametrize("text", NASTY)
def test_ctrf_with_any_text(make_record, text):
    (test,) = ctrf([full(make_record, text)])["tests"]
    shown = inert(text)
    assert (test["message"], test["trace"], test["stderr"]) == (shown, shown, [shown, shown])


# JUnit


def test_junit_of_the_committed_records(committed):
    parsed = JUnitXml.fromstring(render_junit(committed).encode())
    assert (parsed.tests, parsed.failures, parsed.errors) == (len(committed), 0, 0)
    names = [f"{suite.name}@{case.name}" for suite in parsed for case in suite]
    assert names == sorted(record.cell for record in committed)
    counted = copy.deepcopy(parsed)
    counted.update_statistics()
    assert (counted.tests, counted.failures, counted.errors, counted.skipped) == (
        parsed.tests, parsed.failures, parsed.errors, parsed.skipped,
    )  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_junit_says_what_became_of_a_cell(make_record, status):
    (suite,) = JUnitXml.fromstring(render_junit([full(make_record, status=status)]).encode())
    (case,) = suite
    assert case.time == 1.25
    if OUTCOME[status] is None:
        assert case.result == []
    else:
        (result,) = case.result
        assert (result._tag, result.type, result.message) == (OUTCOME[status], status, "text (text)")


def xml_text(text):
    """What XML can hold of a text that nothing obeys, from its definition of a character."""

    def held(char):
        return char in "\t\n" or "\x20" <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"

    return "".join(char if held(char) else "\ufffd" for char in inert(text.replace("\r\n", "\n").replace("\r", "\n")))


@given(text=st.one_of(st.sampled_from(NASTY), st.text()))
@settings(deadline=None)
def test_junit_holds_any_text_as_far_as_xml_can(make_record, text):
    root = ElementTree.fromstring(render_junit([full(make_record, text)]))
    case = root.find("testsuite/testcase")
    expected = xml_text(text)
    assert case.get("name") == expected
    assert (case.find("failure").text or "") == expected
    assert case.find("system-err").text == xml_text(f"{text}\n{text}")


# CSV and Parquet


def parsed_csv(records):
    return list(csv.DictReader(io.StringIO(tabular.render_csv(records), newline="")))


def test_the_table_has_a_row_for_each_committed_record(committed):
    rows = parsed_csv(committed)
    by = {record.cell: record for record in committed}
    assert [row["cell"] for row in rows] == sorted(by)
    for row in rows:
        record = by[row["cell"]]
        assert row["status"] == record.status
        assert (int(row["file_bytes"]) if row["file_bytes"] else None) == record.file_bytes
        assert (float(row["delegated_share"]) if row["delegated_share"] else None) == record.delegated_share
        logits = record.checks["logits"].metrics if "logits" in record.checks else {}
        if logits.get("max_abs_error") is not None:
            assert float(row["max_abs_error"]) == logits["max_abs_error"]


def test_every_column_says_something_of_some_record(committed):
    made = tabular.rows(committed)
    empty = {column.name for column in tabular.COLUMNS if all(row[column.name] is None for row in made)}
    # What only cells have that ended early, or only records of this version.
    assert empty <= {"issue", "failure_stage", "failure_kind", "checks_not_passed", "delegates", "methods", "host_processor"}


def test_parquet_has_the_same_table_with_types(tmp_path, committed):
    import pyarrow.parquet

    tabular.write_parquet(tmp_path / "t.parquet", committed)
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert table.to_pylist() == tabular.rows(committed)
    kinds = {"text": "string", "integer": "int64", "number": "double", "boolean": "bool", "time": "timestamp[ms, tz=UTC]"}
    for column in tabular.COLUMNS:
        field = table.schema.field(column.name)
        assert str(field.type) == kinds[column.kind]
        assert field.metadata[b"says"].decode() == column.says


def test_parquet_without_pyarrow_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConformanceError, match=r"pip install 'executorch-zoo\[analysis\]'"):
        tabular.write_parquet(tmp_path / "t.parquet", [])
    assert not (tmp_path / "t.parquet").exists()


@given(text=st.one_of(st.sampled_from(NASTY), st.text(), st.text(alphabet="=+-@ \t\r'1")))
@settings(deadline=None)
def test_no_field_of_the_table_is_a_formula_and_no_text_is_lost(make_record, text):
    (row,) = parsed_csv([full(make_record, text)])
    for column in tabular.COLUMNS:
        if column.kind == "text":
            assert not row[column.name].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
    assert row["reason"].removeprefix("'" if row["reason"] != text.replace("\0", "\ufffd") else "") == text.replace(
        "\0", "\ufffd"
    )


def test_numbers_stay_numbers_and_what_is_none_is_left_empty(make_record):
    odd = full(make_record, latency={"eager": {"load_ms": -2.0, "infer_ms": "fast"}, "executorch": None})
    (row,) = parsed_csv([odd])
    assert (row["eager_load_ms"], row["eager_infer_ms"], row["executorch_load_ms"], row["top1"]) == ("-2.0", "", "", "")
    assert (row["recipe"], row["cached"], row["peak_memory_bytes"]) == ("", "true", "7")


# Step summary


def test_the_summary_counts_and_names_what_is_not_green(make_record):
    records = [make_record(status=status, configuration=f"c-{status}", reason=f"why {status}") for status in STATUSES]
    text = step_summary.render_summary(records)
    assert f"{len(STATUSES)} cells of 1 models, {len(set(STATUSES) - GREEN)} not green" in text
    before, _, after = text.partition("### Not green")
    red = after.partition("<details>")[0]
    for status in STATUSES:
        assert f"| {status.replace('_', ' ')} | 1 |" in before
        assert (f"why {status}".replace("_", "&#95;") in red) == (status not in GREEN)


def test_the_summary_names_the_slowest_cells_by_what_they_ran(make_record):
    cached = StageRecord(name="export", seconds=100.0, cached=True)
    records = [
        make_record(configuration=f"c{index}", stages=[cached, StageRecord(name="run", seconds=float(index))])
        for index in range(30)
    ]
    rows = re.findall(r"c(\d+)</code> \| ([\d.]+) \|", step_summary.render_summary(records))
    assert rows == [(str(index), f"{index:.1f}") for index in range(29, 19, -1)]


@given(text=st.one_of(st.sampled_from(NASTY), st.text(), st.text(alphabet="<>&|`*_[]()@#\\~!-= \n\r\t\x00\u202e")))
@settings(deadline=None)
def test_no_text_becomes_markup(text):
    shown = step_summary.code(text)
    inner = re.fullmatch(r"<code>((?:&#\d+;|[^\W_]|[ \-]|[^\x00-\x7f])*)</code>", shown)
    assert inner is not None
    decoded = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), inner[1])
    if len(text) < step_summary.REASON and text.isprintable():
        assert decoded == " ".join(text.split())


@pytest.mark.parametrize("text", NASTY)
def test_a_summary_of_any_text_has_the_tables_it_means_to_have(make_record, text):
    lines = step_summary.render_summary([full(make_record, text)]).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3, 4}  # status and cells, cell and seconds; cell, status and reason
    assert not any(char in line for line in rows for char in "@#[`" if char not in re.sub(r"&#\d+;", "", line) and char != "#")


def test_a_summary_of_thousands_of_failures_fits(make_record):
    records = [full(make_record, "|" * 5000, configuration=f"c{index}") for index in range(5000)]
    text = step_summary.render_summary(records)
    assert len(text.encode()) < 2**20
    assert f"{5000 - step_summary.ROWS} more are in the records" in text


def test_the_summary_is_appended_where_github_says(tmp_path, make_record):
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    assert step_summary.append_summary([make_record()], {step_summary.VARIABLE: str(path)}) == path
    assert path.read_text() == "before\n" + step_summary.render_summary([make_record()]) + "\n"
    with pytest.raises(ConformanceError, match="GITHUB_STEP_SUMMARY"):
        step_summary.append_summary([make_record()], {})


# The command


@pytest.fixture
def export(capsys):
    from conformance import cli

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main(("export-records", *map(str, arguments)))
        told = capsys.readouterr()
        return SimpleNamespace(code=caught.value.code, out=told.out, err=told.err)

    return run


def test_the_command_writes_all_formats_at_once(tmp_path, export, make_record, monkeypatch):
    from conformance.record import write

    write(tmp_path / "r.jsonl", [full(make_record)])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = {name: tmp_path / f"out.{name}" for name in ("ctrf", "junit", "csv", "parquet")}
    options = [part for name, path in files.items() for part in (f"--{name}", path)]
    done = export("--records", tmp_path / "r.jsonl", *options, "--step-summary")
    assert (done.code, done.err) == (0, "")
    assert files["ctrf"].read_text() == render_ctrf([full(make_record)])
    assert files["junit"].read_text() == render_junit([full(make_record)])
    assert files["csv"].read_bytes().decode() == tabular.render_csv([full(make_record)])
    assert files["parquet"].read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "summary.md").read_text() == step_summary.render_summary([full(make_record)]) + "\n"


def test_the_command_wants_to_know_what_to_write(export):
    done = export()
    assert done.code == 2
    assert "--ctrf" in done.err
