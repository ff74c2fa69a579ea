"""What the dashboard is made of: which runs, what of them, and the file."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from importlib import resources

import pytest
from typer.testing import CliRunner

from conformance.changes import compare
from conformance.cli import app
from conformance.errors import ConformanceError
from conformance.record import Record, write
from conformance.reports import dashboard
from conformance.reports.dashboard import Run, collect, data, page

PLACE = resources.files("conformance.reports.dashboard")


def record(model="alpha", configuration="xnnpack-fp32", status="pass", *, created="2026-11-20T10:00:00+00:00", **more):
    fields = {"family": model, "task": "text-generation", "scale": "twin", "hub_id": None, "revision": None}
    return Record(model=model, configuration=configuration, status=status, created=created, **(fields | more))


def run(*records, label="current"):
    return Run(label, label, records)


def blocks(text):
    """The packed blocks of a page by their ids."""
    found = re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>', text)
    return {name: json.loads(zlib.decompress(base64.b64decode(block))) for name, block in found}


def git(place, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    """A checkout whose records were first a file, then a directory."""
    git(tmp_path, "init", "-q")
    old, new = tmp_path / "reports" / "records.jsonl", tmp_path / "reports" / "records"
    write(old, [record(created="2026-11-01T10:00:00+00:00", file_bytes=1)])
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Record\tthe <first>")
    old.unlink()
    write(new, [record(created="2026-11-02T10:00:00+00:00", file_bytes=2), record("beta")])
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Move")
    return tmp_path


def records_of(project):
    return project / "reports" / "records"


def test_versions_in_git_are_earlier_runs(project, capsys):
    write(records_of(project), [record(created="2026-11-03T10:00:00+00:00", file_bytes=3)])
    runs = collect(records_of(project), root=project)
    assert [[record.file_bytes for record in run.records] for run in runs] == [[3], [2, None], [1]]
    assert runs[0].label == "current"
    assert runs[2].source.endswith("Record\tthe <first>")
    assert capsys.readouterr().out == ""


def test_what_is_committed_and_current_is_one_run(project):
    assert len(collect(records_of(project), root=project)) == 2
    assert len(collect(records_of(project), root=project, history=[records_of(project)])) == 2


def test_only_the_newest_versions_are_taken(project):
    for number in range(10):
        write(records_of(project), [record(created=f"2026-11-20T10:00:{number:02}+00:00")])
        git(project, "add", "-A")
        git(project, "commit", "-qm", f"Record {number}")
    runs = collect(records_of(project), root=project)
    assert [run.source.split()[-1] for run in runs[1:]] == [str(number) for number in range(8, 1, -1)]


def test_versions_that_cannot_be_read_are_left_out_with_a_line(project):
    (records_of(project) / "alpha.jsonl").write_text('{"schema_version": 0, "model": "alpha"}\n')
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Old")
    write(records_of(project), [record()])
    lines = []
    runs = collect(records_of(project), root=project, notice=lines.append)
    assert len(runs) == 3
    assert len(lines) == 1
    assert re.match(r"left out [0-9a-f]{9} Old: .*alpha.jsonl, line 1 is no record", lines[0])


@pytest.mark.parametrize("break_it", ["no git", "no checkout", "not asked"])
def test_without_git_there_is_the_current_run(project, monkeypatch, break_it):
    if break_it == "no git":
        monkeypatch.setenv("PATH", "")
    if break_it == "no checkout":
        shutil.rmtree(project / ".git")
    assert len(collect(records_of(project), root=project, git=break_it != "not asked")) == 1


def test_history_that_is_named_must_be_there(tmp_path):
    write(tmp_path / "r.jsonl", [record()])
    with pytest.raises(ConformanceError, match=r"there are no records at .*nowhere; --history takes"):
        collect(tmp_path / "r.jsonl", history=[tmp_path / "nowhere"])


def test_the_same_runs_make_the_same_page():
    runs = [run(record(), record("beta"))]
    again = [run(record("beta"), record())]
    assert dashboard.render(runs) == dashboard.render(again)


def test_a_page_of_nothing_is_refused():
    for runs in ([], [run()]):
        with pytest.raises(ConformanceError, match="no records to show"):
            dashboard.render(runs)


def test_details_are_whole_records():
    latency = {"executorch": {"decode_speedup": 2.123456789}}
    whole = record(reason="because", latency=latency, file_bytes=12345678, error_by_position=[0.123456, None, 1.0])
    packed = blocks(dashboard.render([run(whole)]))["model-0"]["cells"]
    assert packed[0].keys() == Record.model_fields.keys() - {"schema_version", "model", "family", "task"}
    assert packed[0]["latency"] == latency
    assert packed[0]["error_by_position"] == [0.123, None, 1.0]
    assert packed[0]["file_bytes"] == 12345678


def test_figures_in_texts_keep_their_digits():
    told = "max abs error 0.123456789123"
    packed = blocks(dashboard.render([run(record(reason=told, versions={"a": "1.23456789"}))]))["model-0"]["cells"][0]
    assert (packed["reason"], packed["versions"]) == (told, {"a": "1.23456789"})


def test_earlier_runs_are_compact():
    long = "x" * 5000
    earlier = run(record(reason=long, file_bytes=7, created="2026-01-01T00:00:00+00:00"), label="earlier")
    text = dashboard.render([run(record()), earlier])
    assert long not in json.dumps(blocks(text))
    history = blocks(text)["model-0"]["history"]
    assert history[1] == {"xnnpack-fp32": [0, None, 7, "2026-01-01", 0]}


def test_every_two_runs_are_compared_by_the_projects_own_comparison():
    runs = [
        run(record(file_bytes=300_000), record("new"), label="c"),
        run(record(file_bytes=200_000), label="b"),
        run(record(status="fail"), label="a"),
    ]
    found = data.comparisons(runs)
    assert sorted(found) == ["1-0", "2-0", "2-1"]
    for pair, changes in found.items():
        before, after = map(int, pair.split("-"))
        expected = compare(runs[before].records, runs[after].records)
        assert [(data.KINDS[kind], cell, what) for kind, cell, _, _, _, what in changes] == [
            (change.kind, change.cell, change.what) for change in expected
        ]
        assert expected


def test_data_cannot_end_the_element_that_holds_it():
    hostile = "</script><!-- <script>\u2028\ud800"
    text = data.as_json({"name": hostile})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!-- <script>\ufffd\ufffd"}
    text = dashboard.render([run(record("</script><b>"))])
    assert "<b>" not in text


def test_the_page_needs_nothing_from_elsewhere():
    text = dashboard.render([run(record())])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\S*", text) == ['<link rel="icon" href="data:,">']
    assert "sourceMappingURL" not in text


def test_the_library_is_the_one_that_its_readme_names():
    readme = (PLACE / "vendor" / "README.md").read_text(encoding="utf-8")
    source = (PLACE / page.LIBRARY).read_bytes()
    assert hashlib.sha256(source).hexdigest() in readme
    version = re.search(r"\| (\d+\.\d+\.\d+) \| MIT", readme)[1]
    assert f"Chart.js v{version}" in source[:200].decode()
    assert "MIT License" in (PLACE / "vendor" / "chart.js-LICENSE.md").read_text(encoding="utf-8")


def test_no_script_sets_markup():
    for name in (*page.SCRIPTS, "theme.js"):
        source = (PLACE / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source), name
        assert "</script" not in source, name


def test_zoo_report_html(project):
    out = project / "new" / "page.html"
    found = CliRunner().invoke(app, ["report", "--html", str(out), "--root", str(project)])
    assert found.exit_code == 0, found.output
    assert out.read_text(encoding="utf-8") == dashboard.render(collect(records_of(project), root=project))
    assert not (project / "reports" / "SUPPORT.md").exists()
    again = CliRunner().invoke(app, ["report", "--html", str(out), "--root", str(project), "--no-git-history"])
    assert again.exit_code == 0
    assert blocks(out.read_text(encoding="utf-8")).keys() == {"model-0", "model-1"}


@pytest.mark.parametrize(("options", "told"), [(["--html", "x.html", "--check"], "--check"), (["--history", "x"], "--html")])
def test_options_that_contradict_each_other_are_refused(options, told):
    found = CliRunner().invoke(app, ["report", *options])
    assert isinstance(found.exception, ConformanceError)
    assert told in str(found.exception)
