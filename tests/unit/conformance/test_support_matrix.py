"""The reports say what the records say, in the same bytes each time, and text from outside stays text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conformance.errors import ConformanceError
from conformance.matrix import CORE, configurations
from conformance.record import Check, StageRecord, append, merge, read, write
from conformance.reports.support_matrix import (
    BEGIN,
    END,
    README,
    RECORDS,
    SUPPORT,
    SYMBOLS,
    drifted,
    render_matrix,
    render_support,
    write_reports,
)
from zoo import registry

ROOT = Path(__file__).parents[3]
IDS = CORE["CausalLMExportableModule"]
MODELS = list(registry.models())
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def cells(text):
    """The README's tables, one a task, as {(model, column): text}; without the column that counts the others."""
    return {key: cell for key, cell in table(text).items() if key[1] != "Others"}


def table(text):
    """The README's tables with all columns."""
    found = {}
    for line in text.split("\n"):
        row = [part.strip() for part in line.strip("| ").split(" | ")]
        if not line.startswith("|") or set(row) == {"---"}:
            continue
        if row[0] == "Model":
            header = row
        else:
            found |= {(row[0].strip("*"), name.strip("`")): cell for name, cell in zip(header, row, strict=True)}
    return found


@pytest.fixture(scope="module")
def records(make_record):
    """Every model under every configuration, with figures that tell the cells apart."""
    return [
        make_record(
            model=name,
            family=registry.get(name).family,
            configuration=configuration,
            file_bytes=1000 * (row + 1) * (column + 1) ** 6,
            latency={"executorch": {"decode_speedup": 1.5 + row + column}},
            stages=[StageRecord(name=name, seconds=1.5) for name in ("resolve", "export", "lower", "run")],
            versions={"torch": "2.13.0"},
            host={"threads": 1},
        )
        for row, name in enumerate(MODELS)
        for column, configuration in enumerate(CORE[registry.get(name).wrapper])
    ]


@pytest.fixture
def project(tmp_path, records):
    """A project directory with records, and a README with markers and a matrix that is not there yet."""
    (tmp_path / README).write_text(f"# Title\n\n{BEGIN}\n{END}\n\nThe end.\n", encoding="utf-8")
    write(tmp_path / RECORDS, records)
    return tmp_path


def test_the_committed_reports_agree_with_the_committed_records():
    assert drifted(ROOT) == []


@given(st.data())
@settings(deadline=None, max_examples=10)
def test_the_order_of_the_records_does_not_matter(records, data):
    shuffled = data.draw(st.permutations(records))
    assert render_matrix(shuffled) == render_matrix(records)
    assert render_support(shuffled) == render_support(records)


def test_a_passing_cell_shows_its_speedup_and_its_size(records):
    shown = cells(render_matrix(records))
    for record in records:
        size = record.file_bytes / 1024
        told = f"{size:.0f} KiB" if size < 1024 else f"{size / 1024:.1f} MiB"
        ratio = record.latency["executorch"]["decode_speedup"]
        assert shown[record.model, record.configuration] == f"✅ {ratio:.1f}×, {told}"


def test_a_cell_without_a_record_was_never_run(records):
    missing = records[1]
    shown = cells(render_matrix([record for record in records if record is not missing]))
    assert [cell for cell, text in shown.items() if text == "never run"] == [(missing.model, missing.configuration)]


def test_without_records_every_cell_was_never_run():
    assert {key for key, text in cells(render_matrix([])).items() if text == "never run"} == {
        (model, name) for model in MODELS for name in CORE[registry.get(model).wrapper]
    }
    assert render_support([]).count("\nNever run.\n") == len(MODELS)


def test_the_other_configurations_of_a_model_are_counted_by_status(records, make_record):
    name = "gemma3-270m"
    others = [each for each in configurations(registry.get(name), "default") if each not in IDS]
    assert len(others) >= 2
    first, *rest = others
    told = [
        make_record(model=name, configuration=first, status="crash"),
        *(make_record(model=name, configuration=each) for each in rest[1:]),
        # Of another tier: it is in the other report.
        make_record(model=name, configuration="xnnpack-fp32-4w-static", status="fail"),
    ]
    shown = table(render_matrix([*records, *told]))[name, "Others"]
    expected = [f"1 {SYMBOLS['crash']}", "1 never run", *([f"{len(rest) - 1} {SYMBOLS['pass']}"] if rest[1:] else [])]
    assert sorted(shown.split(", ")) == sorted(expected)
    assert "`xnnpack-fp32-4w-static`" in render_support(told)
    assert table(render_matrix(records))[name, "Others"] == f"{len(others)} never run"


def test_each_task_has_a_table_of_its_own_and_each_wrapper_of_a_task(records):
    text = render_matrix(records)
    headings = {}
    for model in registry.models().values():
        before = text[: text.index(f"| **{model.name}** |")]
        headings.setdefault((model.task, model.wrapper), set()).add(before.rsplit("### ", 1)[1].split("\n")[0])
    assert {len(found) for found in headings.values()} == {1}
    titles = {key: next(iter(found)) for key, found in headings.items()}
    assert len(set(titles.values())) == len(titles)
    for (task, _), title in titles.items():
        assert title.split(" (")[0] == task


@pytest.mark.parametrize("status", [status for status in SYMBOLS if status != "pass"])
def test_a_cell_that_did_not_pass_shows_its_status_and_no_figures(make_record, status):
    record = make_record(status=status, file_bytes=4096, latency={"executorch": {"decode_speedup": 2.0}})
    shown = cells(render_matrix([record]))[record.model, record.configuration]
    assert shown == f"{SYMBOLS[status]} {status.replace('_', ' ')}"
    assert "✅" not in shown


def test_a_known_failure_links_its_issue(make_record):
    record = make_record(status="known_failure", issue="https://example.org/7")
    assert "[known failure](https://example.org/7)" in cells(render_matrix([record]))[record.model, record.configuration]


def test_every_status_has_a_symbol(make_record):
    assert set(type(make_record()).model_fields["status"].annotation.__args__) == set(SYMBOLS)


def reason_shown(record):
    """The list item of the only reason, as a Markdown renderer reads it; its parts' kinds and its text."""
    tokens = MARKDOWN.parse(render_support([record]))
    (start,) = [index for index, token in enumerate(tokens) if token.type == "list_item_open"]
    paragraph, inline, end, close = tokens[start + 1 : start + 5]
    assert (paragraph.type, end.type, close.type) == ("paragraph_open", "paragraph_close", "list_item_close")
    return [part.type for part in inline.children], inline.children[-1].content


REASONS = {
    "html": "<script>alert(1)</script> <b>x</b> <!-- x",
    "link": "[click](https://example.org) ![image](x.png) [a][b] <https://example.org>",
    "emphasis": "*a* _b_ **c** __d__",
    "code": "`a` ``b`` ```c```",
    "strikethrough": "~~a~~",
    "table": "| a | b |\n| --- | --- |\n| c | d |",
    "blocks": "first\n\n# Heading\n\n- item\n\n> quote\n\n```\ncode\n```\n\n---\n",
    "breaks": "a\\\nb  \nc\r\nd\u2028e\x0bf",
    "escapes": r"\*a\* \\*b\\* \<i\> \| \\",
    "markers": f"{BEGIN} {END}",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_reason_is_shown_as_one_line_of_plain_text(make_record, kind):
    kinds, shown = reason_shown(make_record(status="fail", reason=REASONS[kind]))
    assert kinds == ["code_inline", "text"]
    assert shown == f": fail: {' '.join(REASONS[kind].split())}"


@given(st.text(alphabet="ab \n\\`*_[]()<>|!#-+=1.:/\"'", min_size=1, max_size=60).filter(str.strip))
@settings(deadline=None)
def test_no_mixture_of_marks_becomes_markup(make_record, reason):
    kinds, shown = reason_shown(make_record(status="fail", reason=reason))
    assert (kinds, shown) == (["code_inline", "text"], f": fail: {' '.join(reason.split())}")


def test_a_reason_cut_short_within_an_escape_stays_plain_text(make_record):
    for length in range(595, 603):
        kinds, _ = reason_shown(make_record(status="fail", reason="a" * length + "*b* <i>"))
        assert kinds == ["code_inline", "text"]


def test_a_reason_does_not_reach_the_readme(make_record):
    assert "pineapple" not in render_matrix([make_record(status="fail", reason="pineapple")])


def test_figures_that_were_not_finite_can_be_shown(tmp_path, make_record):
    nan = float("nan")
    figures = {"max_abs_error": nan, "top1": 0.5, "kl_mean": nan, "sqnr_db": -float("inf")}
    checks = {name: Check(status="fail", message="nan", metrics=figures) for name in ("logits", "quality")}
    append(tmp_path / "records.jsonl", make_record(status="fail", reason="nan", checks=checks))
    assert "top-1 0.500" in render_support(read(tmp_path / "records.jsonl"))


def test_export_seconds_are_the_sum_of_the_export_stages_only(records):
    row = next(line for line in render_support(records).splitlines() if line.startswith("| `portable-fp32`"))
    assert row.split(" | ")[-1].strip("| ") == "3.0"


def test_writing_leaves_no_drift_and_what_stands_around_the_markers(project, records):
    assert write_reports(project) == [project / README, project / SUPPORT]
    assert drifted(project) == []
    text = (project / README).read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert render_matrix(records) in text


def test_writing_again_changes_nothing(project):
    write_reports(project)
    assert write_reports(project) == []


def test_reports_that_were_never_written_have_drifted(project):
    assert drifted(project) == [project / README, project / SUPPORT]


@pytest.mark.parametrize("name", [README, SUPPORT])
def test_an_edited_report_has_drifted(project, name):
    write_reports(project)
    text = (project / name).read_text(encoding="utf-8")
    (project / name).write_text(text.replace("✅ 1.5×", "✅ 9.5×"), encoding="utf-8")
    assert drifted(project) == [project / name]


def test_a_new_record_makes_both_reports_drift(project, make_record):
    write_reports(project)
    merge(project / RECORDS, [make_record(status="crash", reason="SIGABRT")])
    assert drifted(project) == [project / README, project / SUPPORT]


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
