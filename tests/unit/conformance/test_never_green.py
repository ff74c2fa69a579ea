"""``blocked`` and ``inconclusive`` are green nowhere: every place that turns a status into a colour, an exit code, an outcome
or a sign is asked. Each is asked about ``pass``, too, which is green there: so the question can be answered both ways."""

import json
import re
import sys
from importlib import resources
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from _pytest.pytester import SysModulesSnapshot

from conformance import changes, cli, gate, plugin
from conformance.baselines import entry
from conformance.cli import console, running
from conformance.expectations import KnownFailure, apply
from conformance.record import GREEN, UNPROVED, Check, Failure
from conformance.reports import changes as change_reports
from conformance.reports import evidence, figures, support_matrix
from conformance.reports.badges import render_badges
from conformance.reports.ctrf import render_ctrf
from conformance.reports.junit import render_junit
from conformance.reports.step_summary import render_summary
from conformance.trail import blank_record
from zoo import registry
from zoo.models.smollm2 import SMOLLM2_135M

pytest_plugins = ["pytester"]

SUITE = """
from conformance import ModelConformance
from zoo.models.smollm2 import SMOLLM2_135M

class TestIt(ModelConformance):
    model = SMOLLM2_135M
"""


def style_is_green(style):
    return "green" in str(style)


def exit_code(arguments, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def the_run_command(record, monkeypatch, tmp_path, **_):
    def ended(request, **_):
        return blank_record(registry.get(request.model), request, status=record.status, reason=record.reason)

    monkeypatch.setattr("conformance.worker.run_isolated", ended)
    return exit_code(["run", record.model, "-c", record.configuration], monkeypatch, tmp_path) == 0


def the_export_command(record, monkeypatch, tmp_path, **_):
    status = record.status if record.status in ("pass", "inconclusive") else "fail"
    account = SimpleNamespace(
        quantization={"skipped": []}, stages=[], file=SimpleNamespace(bytes=1), configuration_id="xnnpack-fp32", methods=[]
    )
    artifact = SimpleNamespace(account=account, directory=tmp_path, program=tmp_path / "model.pte")
    monkeypatch.setattr("conformance.shipping.checkpoint", lambda *args, **kwargs: tmp_path)
    monkeypatch.setattr("conformance.shipping.copy_companions", lambda *args: None)
    monkeypatch.setattr("exporters.pipeline.export", lambda *args, **kwargs: artifact)
    monkeypatch.setattr("conformance.shipping.check", lambda *args, **kwargs: Check(status=status, message="so it is"))
    return exit_code(["export", "--model", record.model, "--output_dir", "out"], monkeypatch, tmp_path) == 0


def a_test_of_the_model(record, monkeypatch, request, **_):
    pytester = request.getfixturevalue("pytester")
    monkeypatch.setattr(SysModulesSnapshot, "restore", lambda self: sys.modules.pop("test_suite", None))  # as in test_plugin.py
    runner = SimpleNamespace(record=lambda cell, known: record)
    monkeypatch.setattr(plugin, "_runner", lambda config: runner)
    pytester.makepyfile(test_suite=SUITE)
    options = ("-p", "conformance.plugin", "-p", "no:cacheprovider", "-k", "test_export and portable-fp32")
    return pytester.runpytest_inprocess(*options).ret == pytest.ExitCode.OK


def junit(record, **_):
    case = ElementTree.fromstring(render_junit([record]).partition("\n")[2]).find("testsuite/testcase")
    return case.find("failure") is None and case.find("error") is None


def ctrf(record, **_):
    return json.loads(render_ctrf([record]))["results"]["tests"][0]["status"] not in ("failed",)


def ctrf_summary(record, **_):
    return json.loads(render_ctrf([record]))["results"]["summary"]["failed"] == 0


def badge_colour(record, **_):
    return any("green" in json.loads(badge)["color"] for badge in render_badges([record]).values())


def badge_count(record, **_):
    return json.loads(render_badges([record])["all"])["message"] != "0 of 1 cells pass"


def dashboard_colour(record, **_):
    script = (resources.files("conformance.reports.dashboard") / "dom.js").read_text(encoding="utf-8")
    return re.search(rf'  {record.status}: \["(.)", "(\w+)"\]', script).groups() in (("✓", "good"), ("✓", "none"))


def support_cell(record, **_):
    return figures.SYMBOLS["pass"] in support_matrix._cell([record], {record.cell: record}, "")


def support_totals(record, **_):
    return re.search(r"\| 1 of \d+ \|", support_matrix._totals({record.cell: record})) is not None


def support_reasons(record, **_):
    return "## What does not pass" not in support_matrix.render_support([record])


def evidence_row(record, **_):
    return figures.SYMBOLS["pass"] in evidence.render_families([record])[record.family]


def baseline_of(record, **fields):
    return entry(record.model_copy(update=fields))


def the_gate_without_baseline(record, **_):
    return gate.judge({}, {record.cell: entry(record)}, covered=[record.cell]).passed


def the_gate_where_it_was_accepted(record, **_):
    return gate.judge({record.cell: entry(record)}, {record.cell: entry(record)}, covered=[record.cell]).passed


def the_gate_where_worse_was_accepted(record, **_):
    before = {record.cell: baseline_of(record, status="crash")}
    return gate.judge(before, {record.cell: entry(record)}, covered=[record.cell]).passed


def the_gate_where_it_passed(record, **_):
    before = {record.cell: baseline_of(record, status="pass")}
    return gate.judge(before, {record.cell: entry(record)}, covered=[record.cell]).passed


def a_difference_from_pass(record, **_):
    sides = [record.model_copy(update={"status": "pass"})], [record]
    return not change_reports.diff(*sides, changes.compare(*sides)).worse


def a_difference_from_fail(record, **_):
    sides = [record.model_copy(update={"status": "fail"})], [record]
    return any(change.kind in changes.BETTER for change in changes.compare(*sides))


def a_known_failure(record, **_):
    known = KnownFailure("*", stage="compare", error=".", cause="x", issue="docs/a.md", until="9999-12-31")
    failure = Failure(stage="compare", kind="E", message="x") if record.status != "pass" else None
    # Of a pass it makes ``fixed``; it is asked here whether anything was made of the status at all.
    judged = apply(record.model_copy(update={"failure": failure}), [known])
    return judged.status in GREEN or judged.status != record.status


CONSUMERS = (
    lambda record, **_: record.status in GREEN,
    lambda record, **_: plugin._markup(record.status) == {"green": True} or plugin._markup(record.status) == {"yellow": True},
    lambda record, **_: console.style(record.status) in ("green", "yellow"),
    lambda record, **_: style_is_green(running._summary_cell(record).style),
    lambda record, **_: figures.status(record).startswith(figures.SYMBOLS["pass"]),
    lambda record, **_: "0 not green" in render_summary([record]),
    the_run_command,
    the_export_command,
    a_test_of_the_model,
    junit,
    ctrf,
    ctrf_summary,
    badge_colour,
    badge_count,
    dashboard_colour,
    support_cell,
    support_totals,
    support_reasons,
    evidence_row,
    the_gate_without_baseline,
    the_gate_where_it_was_accepted,
    the_gate_where_worse_was_accepted,
    the_gate_where_it_passed,
    a_difference_from_pass,
    a_difference_from_fail,
    a_known_failure,
)
LAMBDAS = ("GREEN", "summary of pytest", "colour of zoo run", "table of zoo run", "symbol", "step summary")
NAMES = [*LAMBDAS, *(consumer.__name__ for consumer in CONSUMERS[len(LAMBDAS) :])]


@pytest.mark.parametrize("consumer", CONSUMERS, ids=NAMES)
@pytest.mark.parametrize("status", [*sorted(UNPROVED), "pass"])
def test_only_what_was_proved_is_green(consumer, status, make_record, monkeypatch, tmp_path, request):
    reason = "" if status == "pass" else "nobody knows"
    # Every check passed that was made: the status alone has to say that this proves nothing.
    record = make_record(
        model=SMOLLM2_135M.name,
        family=SMOLLM2_135M.family,
        status=status,
        reason=reason,
        checks={"export": Check(status="pass", message="a program")},
    )
    green = consumer(record, monkeypatch=monkeypatch, tmp_path=tmp_path, request=request)
    assert green == (status == "pass")


def test_a_check_that_proves_nothing_fails_its_test(make_record):
    from conformance.suite import require

    record = make_record(status="inconclusive", checks={"tokens": Check(status="inconclusive", message="proves nothing")})
    with pytest.raises(pytest.fail.Exception, match="tokens inconclusive: proves nothing"):
        require(record, "tokens")


def test_the_gate_does_not_offer_to_accept_what_proves_nothing(make_record):
    from conformance.reports import gate as reports

    record = make_record(status="blocked", reason="no weights")
    verdict = gate.judge({record.cell: entry(record)}, {record.cell: entry(record)}, covered=[record.cell])
    told = reports.markdown(verdict).replace("\\", "")
    assert "zoo baseline --update" not in told
    assert "portable-fp32 proves nothing, and no baseline makes that good" in told
