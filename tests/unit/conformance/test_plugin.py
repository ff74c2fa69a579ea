"""Each status of a record becomes the right outcome of the tests that a model's test file inherits."""

import datetime
import sys

import pytest
from _pytest.pytester import SysModulesSnapshot

from conformance import expectations, matrix, plugin
from conformance.record import Check, Failure, GenerationRecord
from conformance.suite import ModelConformance
from zoo.models.qwen3 import QWEN3_0_6B

pytest_plugins = ["pytester"]

IDS = matrix.configurations(QWEN3_0_6B, "default")
REDUCED = [name for name in IDS if matrix.reduces(name)]
FOUR_BIT = [name for name in IDS if "8da4w" in name]
OTHERS = ("hidden_states", "retrieval", "classes", "boxes", "shapes", "source", "encoder", "runner")
"""Checks of other tasks and wrappers."""
CHECKS = sorted(
    name.removeprefix("test_") for name in vars(ModelConformance) if name.startswith("test_") and not name.endswith(OTHERS)
)
TESTS = len(IDS) * (len(CHECKS) - 1) + len(REDUCED)
"""All checks of every configuration, but ``quality`` of those that round or forget only."""
ELSEWHERE = len(IDS) * len(OTHERS)
"""Tests that are deselected because they belong to another task or wrapper."""

SUITE = """
import pytest
from conformance import KnownFailure, ModelConformance
from zoo.models.qwen3 import QWEN3_0_6B

class TestQwen3(ModelConformance):
    model = QWEN3_0_6B
"""


KNOWN = """
    known_failures = (
        KnownFailure(
            "portable-fp32", stage="run", error="x", cause="y", issue="https://example.org/7", until="9999-12-31"
        ),
    )
"""


@pytest.fixture
def run(pytester, monkeypatch, make_record):
    """Runs a test file in-process; every cell's record is one with the given fields."""

    def run(*arguments, body="", asked=None, **fields):
        class Runner:
            def record(self, cell, known):
                if asked is not None:
                    asked.append((cell.name, known))
                return make_record(model=cell.model.name, configuration=cell.configuration, **fields)

        monkeypatch.setattr(plugin, "_runner", lambda config: Runner())
        # A run inside of this process forgets what was imported on the way. Of transformers (5.23.0) that is too much:
        # operators cannot be registered twice, and a model whose module is forgotten keeps eager attention whatever it is told.
        monkeypatch.setattr(SysModulesSnapshot, "restore", lambda self: sys.modules.pop("test_suite", None))
        pytester.makepyfile(test_suite=SUITE + body)
        options = ("-p", "conformance.plugin", "-p", "no:cacheprovider", "-rA", "--strict-markers")
        return pytester.runpytest_inprocess(*options, *arguments)

    return run


def passing(*names):
    return {"checks": {name: Check(status="pass", message="good") for name in names or CHECKS}}


def lower_failed():
    failure = Failure(stage="lower", kind="RuntimeError", message="no kernel", stderr=["E 00:00 first line", "F second line"])
    return {"status": "fail", "reason": "RuntimeError: no kernel", "failure": failure, **passing("export")}


def test_a_passing_record_passes_every_test(run):
    run(**passing()).assert_outcomes(passed=TESTS, deselected=ELSEWHERE)


def test_quality_is_a_test_of_configurations_that_round_or_forget_only(run):
    result = run("--collect-only", "-q", "-k", "test_quality")
    assert [line for line in result.outlines if "::" in line] == [
        f"test_suite.py::TestQwen3::test_quality[{name}]" for name in REDUCED
    ]
    assert 0 < len(REDUCED) < len(IDS)


def test_the_word_of_a_configuration_selects_its_tests(run):
    result = run("-k", "8da4w", **passing())
    found = len(FOUR_BIT) * len(CHECKS)
    result.assert_outcomes(passed=found, deselected=TESTS - found + ELSEWHERE)


def test_a_known_failure_is_an_expected_one_with_its_reason(run):
    result = run(
        "-k", "test_logits", status="known_failure", reason="lower: no kernel; cause: it is missing", issue="https://i/7"
    )
    result.assert_outcomes(xfailed=len(IDS), deselected=TESTS - len(IDS) + ELSEWHERE)
    result.stdout.fnmatch_lines(["XFAIL*qwen3-0.6b@*: lower: no kernel; cause: it is missing (https://i/7)*"])


def test_a_known_failure_that_passes_fails(run):
    result = run("-k", "test_logits", status="fixed", reason="remove KnownFailure(...)", **passing())
    result.assert_outcomes(errors=len(IDS), deselected=TESTS - len(IDS) + ELSEWHERE)
    result.stdout.fnmatch_lines(["*qwen3-0.6b@*: remove KnownFailure(...)*"])
    assert result.ret != 0


def test_a_known_failure_that_passes_prints_the_edit_that_removes_it(run, pytester):
    result = run("-k", "test_logits and portable-fp32", body=KNOWN, status="fixed", reason="passes", **passing())
    result.assert_outcomes(errors=1, deselected=TESTS - 1 + ELSEWHERE)
    result.stdout.fnmatch_lines(
        [
            "*qwen3-0.6b@portable-fp32: passes",
            "test_suite.py, lines 2 to 12 ('zoo expectations --update' makes this edit):",
            "--- test_suite.py",
            "-from conformance import KnownFailure, ModelConformance",
            "+from conformance import ModelConformance",
            "-    known_failures = (",
            "-        KnownFailure(",
        ]
    )


@pytest.mark.parametrize("green", [True, False])
@pytest.mark.parametrize("status", ["known_failure", "not_applicable"])
def test_an_expired_entry_fails_whatever_it_excuses(run, monkeypatch, status, green):
    known = KNOWN.replace("9999-12-31", "2026-11-21")
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2026, 11, 21 if green else 22))
    result = run("-k", "test_logits and portable-fp32", body=known, status=status, reason="as ever")
    assert result.parseoutcomes().keys() == {
        "deselected",
        ("xfailed" if status == "known_failure" else "skipped") if green else "errors",
    }
    if not green:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["*KnownFailure('portable-fp32', *) expired on 2026-11-21: look at it again*"])


def test_a_cell_that_means_nothing_is_skipped_with_its_reason(run):
    result = run(status="not_applicable", reason="no soft-capping")
    result.assert_outcomes(skipped=TESTS)
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: no soft-capping*"])


@pytest.mark.parametrize("status", ["fail", "crash", "oom", "timeout"])
def test_what_was_not_reached_fails_whatever_the_status(run, status):
    run("-k", "test_tokens", status=status, reason="why").assert_outcomes(
        failed=len(IDS), deselected=TESTS - len(IDS) + ELSEWHERE
    )


def test_a_cell_that_stopped_fails_the_tests_it_did_not_reach(run):
    run(**lower_failed()).assert_outcomes(passed=len(IDS), failed=TESTS - len(IDS))


def test_the_message_names_the_stage_the_error_and_what_was_printed(run):
    lines = run("-k", "test_tokens and portable-fp32", **lower_failed()).stdout
    lines.fnmatch_lines(
        [
            "qwen3-0.6b@portable-fp32: tokens was not reached.",
            "fail at stage lower: RuntimeError: no kernel",
            "stderr:",
            "  E 00:00 first line",
            "  F second line",
        ]
    )


@pytest.mark.parametrize("status", ["fail", "inconclusive"])
def test_a_check_that_did_not_pass_fails_its_own_test_only(run, status):
    fields = passing()
    fields["checks"]["tokens"] = Check(status=status, message="prompt 1 diverges")
    result = run(status=status, **fields)
    result.assert_outcomes(passed=TESTS - len(IDS), failed=len(IDS))
    result.stdout.fnmatch_lines([f"qwen3-0.6b@portable-fp32: tokens {status}: prompt 1 diverges"])


def test_a_cell_is_asked_for_once_with_what_is_known_of_its_model(run):
    asked = []
    run(body=KNOWN, asked=asked, **passing())
    assert sorted(name for name, _ in asked) == sorted(f"qwen3-0.6b@{name}" for name in IDS)
    assert [[failure.cause for failure in known] for _, known in asked] == [["y"]] * len(IDS)


MARKED = """
    @pytest.mark.configurations("xnnpack-fp32", "portable-fp32")
    def test_own(self, generation):
        assert generation[0].text == "two"
"""


def test_a_test_of_its_own_runs_for_the_configurations_it_is_marked_with(run):
    said = GenerationRecord(prompt="one", prompt_tokens=1, reference=[2], tokens=[2], text="two", stop="eos", smallest_margin=1)
    run("-k", "test_own", body=MARKED, generations=[said]).assert_outcomes(passed=2, deselected=TESTS + ELSEWHERE)


def test_a_generation_that_was_not_reached_fails_with_the_cause(run):
    result = run("-k", "test_own", body=MARKED, **lower_failed())
    result.assert_outcomes(errors=2, deselected=TESTS + ELSEWHERE)
    result.stdout.fnmatch_lines(["*generation was not reached.", "*fail at stage lower: RuntimeError: no kernel"])


def test_a_mark_with_an_unknown_configuration_is_an_error(run):
    result = run(body=MARKED.replace("xnnpack-fp32", "xnnpack-fp99"))
    result.stdout.fnmatch_lines(["*TestQwen3::test_own: no configuration xnnpack-fp99. Known: *"])
    result.assert_outcomes(errors=1)


@pytest.mark.parametrize("tier", list(matrix.TIERS))
def test_a_tier_is_run_whole_and_alone(run, tier):
    asked = []
    ids = matrix.configurations(QWEN3_0_6B, tier)
    result = run("--tier", tier, "-k", "test_export", asked=asked, **passing())
    assert result.parseoutcomes().keys() == {"passed", "deselected"}
    assert result.parseoutcomes()["passed"] == len(ids)
    assert [name for name, _ in asked] == [f"qwen3-0.6b@{name}" for name in ids]


def test_a_tier_that_does_not_exist_is_refused(run):
    result = run("--tier", "weekly")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown tier 'weekly'*smoke*"])


NIGHTLY = """
    @pytest.mark.configurations("xnnpack-fp32-4w-static")
    def test_own(self, record):
        assert record.configuration == "xnnpack-fp32-4w-static"
"""


def test_a_test_of_its_own_waits_for_the_tier_of_its_configuration(run):
    assert "xnnpack-fp32-4w-static" not in IDS
    run(body=NIGHTLY, **passing()).assert_outcomes(passed=TESTS, deselected=ELSEWHERE + 1)
    again = run("--tier", "nightly", "-k", "test_own", body=NIGHTLY, **passing())
    assert again.parseoutcomes()["passed"] == 1


def test_another_task_has_checks_of_its_own(run):
    body = """
from zoo.models.qwen3_embedding import QWEN3_EMBEDDING_0_6B

class TestEmbedding(ModelConformance):
    model = QWEN3_EMBEDDING_0_6B
"""
    lines = run("--collect-only", "-q", "--tier", "smoke", "-k", "TestEmbedding", body=body).outlines
    found = {line.split("::")[2].removesuffix("[xnnpack-fp32]") for line in lines if "::" in line}
    shared = set(CHECKS) - {"logits", "tokens", "quality"}
    assert found == {f"test_{name}" for name in (*shared, "hidden_states", "retrieval")}


TWIN = """
    def test_own(self, twin):
        assert twin.config.model_type == "qwen3"
        assert not twin.training
"""


def test_a_test_of_the_twin_needs_no_cell(run):
    asked = []
    run("-k", "test_own", body=TWIN, asked=asked).assert_outcomes(passed=1, deselected=TESTS + ELSEWHERE)
    assert asked == []


def test_every_test_is_in_one_shard_and_a_cells_tests_are_together(run, pytester):
    asked = []
    seen = []
    for index in (1, 2, 3):
        cells = []
        result = run("--shard", f"{index}/3", asked=cells, body="\n\ndef test_of_no_cell():\n    pass\n", **passing())
        names = {name for name, _ in cells}
        assert not names & set(asked)
        asked += names
        seen.append(result.parseoutcomes().get("passed", 0))
        assert result.stdout.str().count("PASSED test_suite.py::test_of_no_cell") == (index == 1)
    assert sorted(asked) == sorted(f"{QWEN3_0_6B.name}@{name}" for name in IDS)
    assert sum(seen) == TESTS + 1


def test_what_is_no_shard_is_refused(run):
    result = run("--shard", "4/3")
    result.stderr.fnmatch_lines(["*--shard '4/3'*such as 2/5*"])
