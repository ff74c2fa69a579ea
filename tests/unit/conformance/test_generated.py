"""The committed reports are what the records say, and whatever differs is named."""

from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.record import merge, write
from conformance.reports.generated import BEGIN, END, README, RECORDS, SUPPORT, drifted, write_reports
from conformance.reports.support_matrix import render_matrix

ROOT = Path(__file__).parents[3]
PAGE = Path("reports/support/gemma3.md")
BADGE = Path("reports/badges/all.json")


@pytest.fixture(scope="module")
def records(make_record):
    return [
        make_record(
            model="gemma3-270m",
            family="gemma3",
            configuration=name,
            file_bytes=2048,
            latency={"executorch": {"decode_speedup": 1.5}},
        )
        for name in ("portable-fp32", "xnnpack-fp32")
    ]


@pytest.fixture
def project(tmp_path, records):
    """A project directory with records, and a README with markers and a matrix that is not there yet."""
    (tmp_path / README).write_text(f"# Title\n\n{BEGIN}\n{END}\n\nThe end.\n", encoding="utf-8")
    write(tmp_path / RECORDS, records)
    return tmp_path


def test_the_committed_reports_agree_with_the_committed_records():
    assert drifted(ROOT) == []


def test_writing_leaves_no_drift_and_what_stands_around_the_markers(project, records):
    written = write_reports(project)
    assert {project / README, project / SUPPORT, project / PAGE, project / BADGE} <= set(written)
    assert drifted(project) == []
    text = (project / README).read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert render_matrix(records) in text


def test_writing_again_changes_nothing(project):
    write_reports(project)
    assert write_reports(project) == []


def test_reports_that_were_never_written_have_drifted(project):
    assert {project / README, project / SUPPORT, project / PAGE, project / BADGE} <= set(drifted(project))


@pytest.mark.parametrize(("name", "figure"), [(README, "1.5×"), (SUPPORT, "1.5×"), (PAGE, "1.5×"), (BADGE, "2 of 2")])
def test_an_edited_report_has_drifted(project, name, figure):
    write_reports(project)
    text = (project / name).read_text(encoding="utf-8")
    assert figure in text
    (project / name).write_text(text.replace(figure, "9 of 9"), encoding="utf-8")
    assert drifted(project) == [project / name]


def test_a_page_of_a_family_that_is_gone_has_drifted_and_is_removed(project):
    write_reports(project)
    stray = project / PAGE.with_name("gone.md")
    stray.touch()
    assert drifted(project) == [stray]
    assert write_reports(project) == [stray]
    assert not stray.exists()


def test_a_new_record_makes_the_reports_drift(project, make_record):
    write_reports(project)
    merge(project / RECORDS, [make_record(status="crash", reason="SIGABRT")])
    found = drifted(project)
    assert {project / README, project / SUPPORT, project / PAGE.with_name("smollm2.md"), project / BADGE} <= set(found)
    assert project / PAGE not in found


def test_text_outside_of_the_markers_is_not_a_drift(project):
    write_reports(project)
    text = (project / README).read_text(encoding="utf-8")
    (project / README).write_text(text.replace("The end.", "More to come."), encoding="utf-8")
    assert drifted(project) == []


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}", f"{BEGIN}\n{END}\n{END}"])
def test_a_readme_without_its_markers_is_an_error_and_is_kept(project, text):
    (project / README).write_text(text, encoding="utf-8")
    with pytest.raises(ConformanceError, match="once each and in this order"):
        write_reports(project)
    assert (project / README).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("missing", "told"), [(README, "give --root"), (RECORDS, "there are no records")])
def test_a_missing_file_is_an_error_that_names_it(project, missing, told):
    (project / missing).rename(project / "elsewhere")
    with pytest.raises(ConformanceError, match=told) as caught:
        drifted(project)
    assert str(project / missing) in str(caught.value)
