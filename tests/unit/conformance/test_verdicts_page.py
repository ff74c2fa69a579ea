"""The generated sections of docs/verdicts.md say what the files of reports/verdicts say; a page without them is left alone."""

import json
from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.repeatability import Difference, Differing, Repeatability
from conformance.reports import verdicts
from conformance.reports.generated import BEGIN, END, README, RECORDS, drifted, write_reports
from conformance.reports.verdicts import DIRECTORY, PAGE, SECTIONS

ROOT = Path(__file__).parents[3]
NAMES = [section.name for section in SECTIONS]
VERSIONS = {"torch": "2.13.0"}
AGAIN = Repeatability(
    created="2026-11-22T08:00:00+00:00",
    repetitions=20,
    cells=3,
    models=2,
    statuses={"pass": 40, "not_applicable": 20},
    checks=400,
    same_verdicts=3,
    same_figures=3,
    differing=[],
    options={},
    versions=VERSIONS,
    processors=["a processor"],
)
GATINGS = {"gatings": 1190, "slower": 3, "faster": 0, "inconclusive": 1, "same": 1186, "slower_at_most": 0.00651}


def mutation(*defects, **fields):
    caught = sum(each["caught"] for each in defects)
    rest = {"created": "2026-11-22T08:00:00+00:00", "versions": VERSIONS, "score": caught / len(defects) if defects else 1.0}
    return {"schema_version": 1, **rest, "defects": defects, **fields}


def defect(**fields):
    return {
        "name": "mask-shifted",
        "says": "The attention mask is shifted by one.",
        "place": "exporter",
        "cell": "gemma3-270m@xnnpack-fp32",
        "declared": "logits",
        "caught": True,
        "caught_by": ["logits", "tokens"],
        "message": "max abs logit error 3.1",
        **fields,
    }


def alarms(**fields):
    row = {
        "launches": "timed",
        "name": "gemma3-270m@xnnpack-fp32",
        "says": "",
        "identical": GATINGS,
        "slowed": GATINGS,
        **fields,
    }
    rest = {"created": "2026-11-22T08:00:00+00:00", "processor": "a processor", "versions": VERSIONS}
    return {"schema_version": 1, **rest, "slowdown": 0.1, "margin": 0.05, "launches": 70, "alarms": [row]}


@pytest.fixture
def project(tmp_path, make_record):
    """A project whose page has all sections, and a file for each."""
    from conformance.record import write

    (tmp_path / README).write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    write(tmp_path / RECORDS, [make_record()])
    marked = "\n\n".join("\n".join(section.markers) for section in SECTIONS)
    (tmp_path / PAGE).parent.mkdir()
    (tmp_path / PAGE).write_text(f"# Verdicts\n\n{marked}\n\nThe end.\n", encoding="utf-8")
    (tmp_path / DIRECTORY).mkdir()
    for name, content in (
        ("mutation", json.dumps(mutation(defect()))),
        ("repeatability", AGAIN.model_dump_json()),
        ("latency-aa", json.dumps(alarms())),
    ):
        (tmp_path / DIRECTORY / f"{name}.json").write_text(content, encoding="utf-8")
    return tmp_path


def test_the_committed_page_has_every_section():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for section in SECTIONS:
        assert [text.count(marker) for marker in section.markers] == [1, 1]


def test_the_sections_are_written_and_what_stands_around_them_stays(project):
    assert project / PAGE in write_reports(project)
    text = (project / PAGE).read_text(encoding="utf-8")
    assert text.startswith("# Verdicts\n\n")
    assert text.endswith("\n\nThe end.\n")
    for told in ("1 of 1 seeded", "3 of 3 cells have the same verdicts", "3 of 1190 gatings", "`pytest tests/faults` ("):
        assert told in text
    assert drifted(project) == []
    assert write_reports(project) == []


def test_an_edited_figure_and_a_new_file_are_drift(project):
    write_reports(project)
    path = project / PAGE
    path.write_text(path.read_text(encoding="utf-8").replace("3 of 1190", "0 of 1190"), encoding="utf-8")
    assert drifted(project) == [path]
    write_reports(project)
    (project / DIRECTORY / "mutation.json").write_text(json.dumps(mutation(defect(caught=False))), encoding="utf-8")
    assert drifted(project) == [path]


def test_a_project_without_the_page_or_its_sections_needs_no_files(project):
    for section in SECTIONS:
        (project / DIRECTORY / section.file).unlink()
    (project / PAGE).write_text("# Our own page\n", encoding="utf-8")
    assert project / PAGE not in write_reports(project)
    (project / PAGE).unlink()
    write_reports(project)
    assert drifted(project) == []
    assert not (project / PAGE).exists()


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
def test_a_missing_file_is_an_error_that_says_what_makes_it(project, section):
    (project / DIRECTORY / section.file).unlink()
    with pytest.raises(ConformanceError, match="there is no") as caught:
        write_reports(project)
    assert str(project / DIRECTORY / section.file) in str(caught.value)
    assert section.command in str(caught.value)


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
@pytest.mark.parametrize("broken", [{"schema_version": 2}, {"more": 1}, {"versions": None}])
def test_a_file_of_another_version_or_kind_is_refused(project, section, broken):
    path = project / DIRECTORY / section.file
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **broken}), encoding="utf-8")
    with pytest.raises(ConformanceError, match=next(iter(broken))) as caught:
        write_reports(project)
    assert section.command in str(caught.value)


def test_a_file_that_is_no_json_is_refused(project):
    for content in (b"", b"[", b"\xff"):
        (project / DIRECTORY / "mutation.json").write_bytes(content)
        with pytest.raises(ConformanceError, match=r"mutation\.json"):
            write_reports(project)


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
def test_a_marker_without_its_counterpart_is_an_error(project, section):
    path = project / PAGE
    path.write_text(path.read_text(encoding="utf-8").replace(section.markers[1], ""), encoding="utf-8")
    with pytest.raises(ConformanceError, match="once each and in this order"):
        write_reports(project)


def render_mutation(*defects):
    return verdicts.render_mutation(verdicts.Mutation.model_validate(mutation(*defects)))


def test_defects_stand_in_a_table_for_each_place_with_what_caught_them():
    text = render_mutation(
        defect(),
        defect(name="weights flipped", place="artifact", declared="stage open", caught_by=["stage open"]),
        defect(name="missed", place="session", caught=False, caught_by=[], message=""),
    )
    assert "**2 of 3 seeded defects are caught (66.7\N{NO-BREAK SPACE}%)**" in text
    assert [text.index(f"In {title}:") for title in ("an exporter", "an artifact", "a session")] == sorted(
        text.index(f"In {title}:") for title in ("an exporter", "an artifact", "a session")
    )
    assert "what the gate is given" not in text
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert "✅ `logits`, `tokens`" in rows["| mask-shifted"]
    assert "✅ <code>stage open</code>" in rows["| weights flipped"]
    assert rows["| missed"].endswith("| ❌ – | – |")


def test_a_score_that_the_defects_do_not_have_is_refused():
    with pytest.raises(ValueError, match=r"score 0\.5, but 1 of 1"):
        verdicts.Mutation.model_validate(mutation(defect(), score=0.5))


def test_a_message_is_inert_and_the_same_on_every_machine():
    place = "/tmp/run-x1/cells/model.pte at 0x7ffdeadbeef0"
    said = f"12:30:59.123456 cannot open {place}: error 0x14 <b>|\x1b[31m{' '.join(SECTIONS[0].markers)}"
    text = render_mutation(defect(message=f"{said}\nsecond line"))
    row = text.splitlines()[-1]
    assert "cannot open …/model.pte at 0x…: error 0x14" in row
    for absent in ("/tmp", "12:30", "\x1b", " <b>", "<!-- mutation-score:begin -->", "second line"):
        assert absent not in text
    assert row.count(" | ") == 5
    assert render_mutation(defect(message="x" * 1000)).count("x") < 200


def test_what_differed_is_on_the_page():
    differing = Differing(
        cell="gemma3-270m@xnnpack-fp32",
        verdicts=[Difference(field="checks.logits", values=[('"pass"', 19), ('"<fail>"', 1)])],
        figures=[Difference(field="generations.tokens", places=4, values=[("7", 19), ("8", 1)])],
    )
    text = verdicts.render_repeatability(
        AGAIN.model_copy(update={"same_verdicts": 2, "same_figures": 2, "differing": [differing]})
    )
    assert "**2 of 3 cells have the same verdicts in 20 of 20 repetitions (66.7\N{NO-BREAK SPACE}%)**" in text
    assert "60 verdicts of cells (40 × pass, 20 × not applicable), 400 of their checks" in text
    row = text.splitlines()[-1]
    assert '`checks.logits`: "pass" (19 ×), "\\<fail\\>" (1 ×)' in row
    assert "`generations.tokens`: in 4 places, at first 7 (19 ×), 8 (1 ×)" in row


def test_alarms_are_counted_over_timed_launches_and_bounds_are_shown():
    found = alarms()
    found["alarms"].append({**found["alarms"][0], "launches": "worse", "name": "loud", "says": "8 %"})
    text = verdicts.render_latency_alarms(verdicts.LatencyAlarms.model_validate(found))
    assert "**3 of 1190 gatings" in text
    assert "(0.25\N{NO-BREAK SPACE}%)" in text
    assert "| 3 | 0.65\N{NO-BREAK SPACE}% | 1 | 3 of 1190 |" in text
    assert "made up, worse than measured | loud |" in text
    assert "- loud: 8 %" in text
