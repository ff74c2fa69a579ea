"""Names and messages from outside reach reports and terminals as text: nothing in them is obeyed there."""

import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.text import Text

from conformance import changes, gate, record
from conformance.baselines import entry
from conformance.cli import console
from conformance.errors import ConformanceError
from conformance.inert import inert
from conformance.record import Check, Failure, Record
from conformance.reports import changes as change_reports
from conformance.reports import evidence, support_matrix
from conformance.reports import gate as gate_reports
from conformance.reports.badges import render_badges
from conformance.reports.ctrf import render_ctrf
from conformance.reports.dashboard import Run, page
from conformance.reports.junit import render_junit
from conformance.reports.step_summary import render_summary
from conformance.reports.tabular import render_csv
from conformance.runs import cells_of
from conformance.suite import unreached
from exporters.errors import ExportError

HTML = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
MARKDOWN = "`a` **b** [c](javascript:alert(3)) | d | @everyone #1 <!-- "
ANSI = "\x1b[31m\x1b[2J\x1b]0;title\x07\x1b]8;;http://evil/\x07\x9b31m\x00\x08\x7f"
LINES = "first\r\nsecond\u2028third\x85fourth\n```\n# heading"
BIDI = "\u202etxt.exe\u2066 \u200f\u061c\u200b\ufeff\u00ad"
HOSTILE = (HTML, MARKDOWN, ANSI, LINES, BIDI, f"{HTML}{ANSI}{LINES}{BIDI}")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def hostile_record(text, **fields):
    """A record of a model of the registry in which everything else is ``text``."""
    return Record(
        **{
            "created": text,
            "model": "smollm2-135m",
            "family": "smollm2",
            "task": "text-generation",
            "scale": text,
            "hub_id": text,
            "revision": text,
            "configuration": text,
            "status": "crash",
            "reason": text,
            "issue": text,
            "failure": Failure(stage=text, kind=text, message=text, stderr=[text], traceback=text),
            "checks": {text: Check(status="fail", message=text, metrics={text: text})},
            "methods": [text],
            "versions": {text: text},
            "host": {"processor": text, "threads": text},
            **fields,
        }
    )


def strangers(text):
    """The same of a model that is called so."""
    return hostile_record(text, model=text, family=text, task=text)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_reports_hold_no_markup_of_names(text):
    records = [hostile_record(text), strangers(text)]
    pages = [
        support_matrix.render_support(records),
        support_matrix.render_matrix(records),
        evidence.render_families(records)["smollm2"],
        render_summary(records),
    ]
    sides = [hostile_record(text, status="pass")], [hostile_record(text)]
    pages.append(change_reports.markdown(change_reports.diff(*sides, changes.compare(*sides), names=(text, text))))
    pages.append(gate_reports.markdown(gate.judge({}, {records[0].cell: entry(records[0])}, covered=[])))
    for found in pages:
        assert not OBEYED.search(found)
        # A fence holds commands and shows them as they are; outside of it nothing may open an element or a comment.
        outside = re.sub(r"(?s)```sh\n.*?\n```", "", found)
        assert not re.search(r"(?<!\\)<(img|script|!--)", outside)
        assert not re.search(r"(?<!\\)\]\(javascript:", outside)
        assert not re.search(r"(?m)^# heading", found)
        assert found.count("```") % 2 == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_of_commands_is_not_left(text):
    found = evidence.render_families([hostile_record(text)])["smollm2"]
    inside = re.search(r"(?s)```sh\n(.*?)\n```", found).group(1)
    assert inside.count("\n") == 0
    assert inside.startswith("zoo run smollm2-135m -c ")


@pytest.mark.parametrize("text", HOSTILE)
def test_reports_for_machines_are_valid_and_inert(text):
    records = [hostile_record(text), strangers(text)]
    for found in (render_ctrf(records), *(render_badges([hostile_record(text)]).values())):
        json.loads(found)
        assert not OBEYED.search(found)
    tree = ElementTree.fromstring(render_junit(records).partition("\n")[2])
    assert len(tree.findall("testsuite/testcase")) == 2
    assert not OBEYED.search(render_junit(records))
    assert tree.find(".//script") is None


class Elements(HTMLParser):
    """Counts the elements of a page."""

    def __init__(self):
        super().__init__()
        self.names = []

    def handle_starttag(self, tag, attrs):
        self.names.append((tag, tuple(name for name, _ in attrs)))


def elements(text):
    parser = Elements()
    parser.feed(text)
    return parser.names


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_has_the_elements_that_it_has_without_them(text):
    def rendered(name):
        return page.render([Run(name, name, (hostile_record(name), strangers(name))), Run("b", name, (strangers("c"),))])

    found, harmless = rendered(text), rendered("harmless")
    assert elements(found) == elements(harmless)
    summary = re.search(r'(?s)<script type="application/json" id="summary">(.*?)</script>', found).group(1)
    assert not OBEYED.search(json.dumps(json.loads(summary), ensure_ascii=False))
    sides = [hostile_record(text, status="pass")], [hostile_record(text)]
    diff = change_reports.html(change_reports.diff(*sides, changes.compare(*sides), names=(text, text)))
    assert not {"img", "script"} & {name for name, _ in elements(diff)}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["out", "err"])
def test_a_terminal_gets_nothing_to_obey(text, name, monkeypatch):
    printed = getattr(console, name)
    monkeypatch.setattr(printed, "_file", io.StringIO())  # the property would not be put back
    table = console.new_table("name", title=Text(text))
    table.add_row(Text(text))
    printed.print(Text(text), table, Text(text, style="red"))
    sides = [hostile_record(text, status="pass")], [hostile_record(text)]
    printed.print(change_reports.table(change_reports.diff(*sides, changes.compare(*sides), names=(text, text))))
    found = printed.file.getvalue()
    assert not OBEYED.search(found)
    assert any(letter.isalpha() for letter in found)


def test_colours_of_our_own_stay(monkeypatch):
    from conformance.inert import InertHook

    coloured = console.Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    coloured.push_render_hook(InertHook())
    coloured.print(Text("a\x1b[32mb", style="red"))
    assert coloured.file.getvalue() == "\x1b[31ma\ufffd[32mb\x1b[0m\n"


def test_what_people_write_stays_as_it_is():
    for text in ("naïve – ✅ ⚠️ 👩\u200d💻", "می\u200cخواهم", "日本語\tتشغيل\n", "no-break\u00a0space"):
        assert inert(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_pytest_prints_is_inert(text):
    assert not OBEYED.search(unreached(hostile_record(text), text))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "a\\b", "..", ".hidden", "a\0b", "a\nb", "", "x" * 300])
def test_a_name_that_leads_elsewhere_names_no_file(tmp_path, name):
    with pytest.raises(ConformanceError, match="can name no file"):
        record.write(tmp_path / "records", [strangers("x").model_copy(update={"model": name})])
    with pytest.raises(ConformanceError, match="can name no file"):
        render_badges([strangers("x").model_copy(update={"family": f"/{name}"})])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["smollm2-135m@../../evil", "smollm2-135m@/etc", "smollm2-135m", "smollm2-135m@portable-fp32/.."]
)
def test_a_manifest_names_cells_and_no_other_directories(name):
    with pytest.raises(ExportError, match="is no configuration id"):
        cells_of([name])


def test_a_table_for_analysis_holds_what_the_records_say():
    """It is data: a reader that prints it has to do as a terminal does here."""
    assert HTML in render_csv([strangers(HTML)])
