"""The support matrix says what the records say, in the same bytes each time, and text from outside stays text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conformance.matrix import CORE, configurations
from conformance.record import Check, StageRecord
from conformance.reports.evidence import render_families
from conformance.reports.figures import PARTIAL, SYMBOLS
from conformance.reports.generated import BEGIN, END
from conformance.reports.support_matrix import groups, render_matrix, render_support
from zoo import registry

IDS = CORE["CausalLMExportableModule"]
MODELS = registry.models()
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tables(text, first):
    """The tables whose first column is ``first``, as {(row's name, column): text without link targets}."""
    found, header = {}, None
    for line in text.split("\n"):
        row = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part.strip()) for part in line.strip("| ").split(" | ")]
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = row if row[0] == first else []
        elif header and set(row) != {"---"}:
            name = re.split(r"\*\*|<br>", row[0])[1]
            found |= {(name, column.strip("`")): cell for column, cell in zip(header, row, strict=True)}
    return found


def by_family(records):
    """The README's cells of families, without the column that counts the others."""
    return {key: cell for key, cell in tables(render_matrix(records), "Family").items() if key[1] not in ("Family", "Others")}


def by_model(records):
    """The cells of SUPPORT.md likewise."""
    return {key: cell for key, cell in tables(render_support(records), "Model").items() if key[1] not in ("Model", "Others")}


@pytest.fixture(scope="module")
def records(make_record):
    """Every model under its table's columns, with figures that tell the cells apart."""
    return [
        make_record(
            model=name,
            family=model.family,
            task=model.task,
            configuration=configuration,
            file_bytes=1000 * (row + 1) * (column + 1) ** 6,
            latency={"executorch": {"decode_speedup": 1.5 + row + column}},
            stages=[StageRecord(name=stage, seconds=1.5) for stage in ("resolve", "export", "lower", "run")],
            versions={"torch": "2.13.0"},
            host={"threads": 1},
        )
        for row, (name, model) in enumerate(MODELS.items())
        for column, configuration in enumerate(CORE[model.wrapper])
    ]


@given(st.data())
@settings(deadline=None, max_examples=10)
def test_the_order_of_the_records_does_not_matter(records, data):
    shuffled = data.draw(st.permutations(records))
    assert render_matrix(shuffled) == render_matrix(records)
    assert render_support(shuffled) == render_support(records)
    assert render_families(shuffled) == render_families(records)


def test_a_passing_cell_shows_its_speedup_and_its_size(records):
    shown = by_model(records)
    assert len(shown) == len(records)
    for record in records:
        size = record.file_bytes / 1024
        told = f"{size:.0f} KiB" if size < 1024 else f"{size / 1024:.1f} MiB"
        ratio = record.latency["executorch"]["decode_speedup"]
        assert shown[record.model, record.configuration] == f"✅ {ratio:.1f}×, {told}"


def test_a_family_of_one_model_shows_what_the_model_shows(records):
    families, models = by_family(records), by_model(records)
    alone = [group.families[name] for group in groups() for name in group.families if len(group.families[name]) == 1]
    assert len(alone) > 40
    for (model,) in alone:
        for name in CORE[model.wrapper]:
            assert families[model.family, name] == models[model.name, name] or model.family == "gemma3"


@pytest.fixture
def falcons(make_record):
    """Records of the two models of a family under one configuration, by status."""

    def make(*statuses):
        names = [name for name, model in MODELS.items() if model.family == "falcon"]
        return [
            make_record(
                model=name,
                family="falcon",
                configuration="xnnpack-fp32",
                status=status,
                file_bytes=1024 * 100 * (index + 1),
                latency={"executorch": {"decode_speedup": 2.0 * (index + 1)}},
            )
            for index, (name, status) in enumerate(zip(names, statuses, strict=True))
            if status is not None
        ]

    return make


def test_a_family_whose_models_all_pass_shows_the_range(falcons):
    assert by_family(falcons("pass", "pass"))["falcon", "xnnpack-fp32"] == "✅ 2.0–4.0×, 100–200 KiB"


@pytest.mark.parametrize("other", ["fail", "known_failure", "not_applicable", None])
@pytest.mark.parametrize("first", [True, False])
def test_a_family_of_which_some_models_pass_is_partial(falcons, other, first):
    records = falcons("pass", other) if first else falcons(other, "pass")
    figures = "2.0×, 100 KiB" if first else "4.0×, 200 KiB"
    assert by_family(records)["falcon", "xnnpack-fp32"] == f"{PARTIAL} 1 of 2 {figures}"


def test_a_family_of_which_one_model_was_never_run_does_not_look_as_if_it_was(falcons):
    assert by_family(falcons("fail", None))["falcon", "xnnpack-fp32"] == f"{PARTIAL} 0 of 2"


def test_a_cell_without_a_record_was_never_run(records):
    missing = records[1]
    shown = by_model([record for record in records if record is not missing])
    assert [cell for cell, text in shown.items() if text == "never run"] == [(missing.model, missing.configuration)]


def test_without_records_every_cell_was_never_run():
    expected = {(name, configuration) for name, model in MODELS.items() for configuration in CORE[model.wrapper]}
    assert {key for key, text in by_model([]).items() if text == "never run"} == expected
    assert set(by_family([]).values()) == {"never run"}
    assert sum(page.count("\n\nNever run. ") for page in render_families([]).values()) == len(MODELS)


def test_what_rounding_costs_is_told_of_what_rounds_only(make_record):
    costs = {"quality": Check(status="pass", message="", metrics={"top1": 0.9961})}
    whole = make_record(configuration="xnnpack-fp32", file_bytes=400 * 1024)
    rounded = make_record(configuration="xnnpack-fp32-sdpa-kv-8da4w-emb8w", file_bytes=100 * 1024, checks=costs)
    shown = by_model([whole, rounded])
    assert shown[whole.model, whole.configuration] == "✅ –, 400 KiB"
    assert shown[rounded.model, rounded.configuration] == "✅ –, 100 KiB (25%), top-1 99.6\N{NO-BREAK SPACE}%"


@given(st.floats(0, 1))
@settings(deadline=None)
def test_less_than_all_is_never_shown_as_all(make_record, share):
    costs = {"quality": Check(status="pass", message="", metrics={"top1": share})}
    shown = by_model([make_record(checks=costs)])["smollm2-135m", "portable-fp32"]
    assert ("100\N{NO-BREAK SPACE}%" in shown) == (share == 1)


def test_of_several_models_the_highest_cost_is_shown(falcons):
    records = falcons("pass", "pass")
    for record, share in zip(records, (0.999, 0.951), strict=True):
        record.checks["quality"] = Check(status="pass", message="", metrics={"top1": share})
    assert "top-1 95.1\N{NO-BREAK SPACE}%" in by_family(records)["falcon", "xnnpack-fp32"]
    for record, share in zip(records, (0.995, 1.0), strict=True):
        record.checks["quality"] = Check(status="pass", message="", metrics={"top1": share})
    assert "top-1 99.5\N{NO-BREAK SPACE}%" in by_family(records)["falcon", "xnnpack-fp32"]


def test_the_other_configurations_of_a_model_are_counted_by_status(records, make_record):
    name = "gemma3-270m"
    others = [each for each in configurations(registry.get(name), "default") if each not in IDS]
    assert len(others) >= 2
    first, *rest = others
    told = [
        make_record(model=name, family="gemma3", configuration=first, status="crash"),
        *(make_record(model=name, family="gemma3", configuration=each) for each in rest[1:]),
        # Of another tier: it is on the family's page.
        make_record(model=name, family="gemma3", configuration="xnnpack-fp32-4w-static", status="fail"),
    ]
    shown = tables(render_support([*records, *told]), "Model")[name, "Others"]
    expected = [f"1 {SYMBOLS['crash']}", "1 never run", *([f"{len(rest) - 1} {SYMBOLS['pass']}"] if rest[1:] else [])]
    assert sorted(shown.split(", ")) == sorted(expected)
    assert "`xnnpack-fp32-4w-static`" in render_families(told)["gemma3"]
    assert tables(render_support(records), "Model")[name, "Others"] == f"{len(others)} never run"


def test_each_task_has_a_table_of_its_own_and_each_wrapper_of_a_task():
    titles = {(group.task, group.wrapper): group.title for group in groups()}
    assert titles.keys() == {(model.task, model.wrapper) for model in MODELS.values()}
    assert len(set(titles.values())) == len(titles)
    headings = re.findall(r"^### (.*)$", render_matrix([]), flags=re.MULTILINE)
    assert headings == [group.title for group in groups()]
    assert all(title.split(" (")[0] == task for (task, _), title in titles.items())


def test_the_totals_count_every_cell_of_the_default_tier_once(records):
    rows = tables(render_matrix(records).replace("| [", "| **[").replace(") |", ")** |"), "Task")
    for group in groups():
        count = sum(len(configurations(model, "default")) for model in group.models)
        passing = len(CORE[group.wrapper]) * len(group.models)
        assert rows[group.title, "Applicable cells that pass"] == f"{passing} of {count}"
        assert rows[group.title, "The others"] == f"{count - passing} × never run"


@pytest.mark.parametrize("status", [status for status in SYMBOLS if status != "pass"])
def test_a_cell_that_did_not_pass_shows_its_status_and_no_figures(make_record, status):
    record = make_record(status=status, file_bytes=4096, latency={"executorch": {"decode_speedup": 2.0}})
    for shown in (by_model([record])[record.model, record.configuration], by_family([record])["smollm2", record.configuration]):
        assert shown == f"{SYMBOLS[status]} {status.replace('_', ' ')}"


def test_every_cell_leads_to_the_row_of_its_record(records):
    pages = render_families(records)
    for root, text in (("reports/support/", render_matrix(records)), ("support/", render_support(records))):
        targets = re.findall(rf"\[[^\]]+\]\({root}([\w.-]+)\.md#([^)]+)\)", text)
        assert len(targets) >= len(by_family(records))
        for family, place in targets:
            assert f'<a id="{place}"></a>' in pages[family] or f"## {place}\n" in pages[family]


def test_every_status_has_a_symbol(make_record):
    assert set(type(make_record()).model_fields["status"].annotation.__args__) == set(SYMBOLS)


@pytest.mark.parametrize(
    ("issue", "told"),
    [
        ("https://example.org/7", "([issue](https://example.org/7))"),
        ("docs/upstream.md#a-cause", "([issue](../docs/upstream.md#a-cause))"),
        ("javascript:alert(1)", None),
        ("https://example.org/) [x](y", None),
        (None, None),
    ],
)
def test_a_known_failure_links_its_issue(make_record, issue, told):
    record = make_record(status="known_failure", reason="known", issue=issue)
    line = next(line for line in render_support([record]).splitlines() if line.endswith(": known"))
    assert ("[issue]" in line) == (told is not None)
    assert told is None or told in line
    page = render_families([record])["smollm2"]
    assert told is None or told.replace("(../", "(../../") in page


def reason_shown(record):
    """The list item of the only reason, as a Markdown renderer reads it; its parts' kinds and its text."""
    tokens = MARKDOWN.parse(render_families([record])[record.family])
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


def test_a_reason_is_shown_in_the_list_of_what_does_not_pass(make_record):
    cells = [make_record(configuration=name, status="fail", reason="*pine* | apple") for name in ("b", "a")]
    assert "- ❌ fail, smollm2-135m under `a`, `b`: \\*pine\\* \\| apple" in render_support(cells)


def test_a_reason_does_not_reach_the_readme(make_record):
    assert "pineapple" not in render_matrix([make_record(status="fail", reason="pineapple")])


def test_cells_of_models_that_the_registry_does_not_have_are_named(make_record):
    assert "## Not in the registry\n\n- `gone@portable-fp32`" in render_support([make_record(model="gone")])
