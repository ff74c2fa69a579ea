"""A known failure excuses that failure and nothing else."""

import datetime
import re

import pytest

from conformance.errors import ConformanceError
from conformance.expectation_edits import standings
from conformance.expectations import KnownFailure, apply, standing
from conformance.record import Check, Failure, read
from conformance.suite import discover, with_known_failures
from exporters.errors import ExportError
from zoo import registry
from zoo.models.gemma3 import GEMMA3_270M

TODAY = datetime.date(2026, 11, 21)
NOTED = {"issue": "https://example.org/7", "until": "2027-05-22"}
KNOWN = KnownFailure("portable-fp32", stage="lower", error="no kernel for .*sdpa", cause="the kernel is missing", **NOTED)


@pytest.fixture
def failed(make_record):
    def build(*, stage="lower", message="no kernel for llama::sdpa", status="fail", **fields):
        failure = Failure(stage=stage, kind="RuntimeError", message=message)
        return make_record(status=status, failure=failure, reason=f"RuntimeError: {message}", **fields)

    return build


def known(**fields):
    return KnownFailure(
        **{"configuration": "portable-fp32", "stage": "lower", "error": "no kernel", "cause": "missing", **NOTED, **fields}
    )


@pytest.mark.parametrize("status", ["fail", "crash", "oom", "timeout"])
def test_the_stage_and_the_error_make_it_known(failed, status):
    found = apply(failed(status=status), [KNOWN], today=TODAY)
    assert found.status == "known_failure"
    assert all(text in found.reason for text in ("lower", "no kernel for llama::sdpa", "the kernel is missing"))


def test_another_stage_is_not_excused(failed):
    found = apply(failed(stage="export"), [KNOWN], today=TODAY)
    assert found.status == "fail"
    assert "stage lower" in found.reason
    assert "stage export" in found.reason


def test_another_error_is_not_excused(failed):
    found = apply(failed(message="out of luck"), [KNOWN], today=TODAY)
    assert found.status == "fail"
    assert "out of luck" in found.reason
    assert repr(KNOWN.error) in found.reason


def test_another_configuration_is_not_excused(failed):
    record = failed(configuration="xnnpack-fp32")
    assert apply(record, [KNOWN], today=TODAY) == record


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("portable-fp32", True),
        ("portable-*", True),
        ("*", True),
        ("*fp32*", True),
        ("portable", None),
        ("xnnpack-*", False),
        ("*-static", False),
        ("portable-fp32-*", False),
        ("PORTABLE-*", False),
    ],
)
def test_a_pattern_covers_what_it_matches_whole(failed, pattern, covered):
    if covered is None:
        with pytest.raises(ExportError, match="is no configuration id"):
            known(configuration=pattern)
        return
    expected = known(configuration=pattern)
    assert expected.covers("portable-fp32") == covered
    assert apply(failed(), [expected], today=TODAY).status == ("known_failure" if covered else "fail")


def test_a_pattern_of_which_one_configuration_passes_says_which_entry_to_look_at(make_record):
    found = apply(make_record(), [known(configuration="portable-*")], today=TODAY)
    assert found.status == "fixed"
    assert "KnownFailure('portable-*', stage='lower'" in found.reason


def test_nothing_is_excused_without_expectations(failed):
    assert apply(failed(), [], today=TODAY) == failed()


def test_a_check_that_fails_belongs_to_the_stage_compare(make_record):
    record = make_record(
        status="fail",
        reason="logits: max abs logit error 1.0",
        checks={"logits": Check(status="fail", message="max abs logit error 1.0")},
    )
    assert apply(record, [known(stage="compare", error="logit error")], today=TODAY).status == "known_failure"
    assert apply(record, [known(stage="run", error="logit error")], today=TODAY).status == "fail"


def test_a_known_failure_that_passes_is_fixed_and_says_what_to_remove(make_record):
    found = apply(make_record(), [KNOWN], today=TODAY)
    assert found.status == "fixed"
    assert "remove KnownFailure('portable-fp32', stage='lower'" in found.reason
    assert "zoo expectations --update" in found.reason


@pytest.mark.parametrize("status", ["not_applicable", "blocked"])
def test_a_cell_that_was_not_run_is_neither_known_nor_fixed(make_record, status):
    record = make_record(status=status, reason="no kernel")
    assert apply(record, [KNOWN], today=TODAY) == record


@pytest.mark.parametrize(("until", "status"), [("2026-11-21", "known_failure"), ("2026-11-20", "fail")])
def test_it_holds_up_to_and_on_its_last_day(failed, until, status):
    found = apply(failed(), [known(until=until)], today=TODAY)
    assert found.status == status
    assert ("expired on 2026-11-20: look at it again (https://example.org/7)" in found.reason) == (status == "fail")


def test_the_record_links_the_issue(failed):
    assert apply(failed(), [KNOWN], today=TODAY).issue == "https://example.org/7"


def test_the_given_record_is_left_as_it_was(failed):
    record = failed()
    apply(record, [KNOWN], today=TODAY)
    assert record == failed()


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"configuration": "portable-fp99"}, ExportError, "fp99"),
        ({"configuration": "portable"}, ExportError, "portable"),
        ({"stage": "lowering"}, ValueError, "'lowering' is no stage; allowed: resolve"),
        ({"cause": ""}, ValueError, "say why"),
        ({"error": "("}, re.error, "unterminated"),
        ({"until": "soon"}, ValueError, "until='soon' is no date such as until='2027-05-22'"),
        ({"until": ""}, ValueError, "say until when it may stand"),
        ({"until": "20270522"}, ValueError, "no date"),
        ({"until": "2027-02-30"}, ValueError, "no date"),
        ({"issue": ""}, ValueError, "say where it is tracked"),
        ({"issue": "javascript:alert(1)"}, ValueError, "neither an address"),
    ],
)
def test_an_expectation_that_cannot_be_meant_is_refused(fields, error, told):
    with pytest.raises(error, match=re.escape(told)):
        known(**fields)


TEST_FILE = """
from conformance import KnownFailure, ModelConformance
from zoo.models.gemma3 import GEMMA3_270M
from zoo.models.qwen3 import QWEN3_0_6B

class TestGemma(ModelConformance):
    model = GEMMA3_270M
    known_failures = (
        KnownFailure(
            "portable-fp32",
            stage="lower",
            error="no kernel",
            cause="missing",
            issue="https://example.org/7",
            until="2027-05-22",
        ),
    )

class TestOther(ModelConformance):
    model = QWEN3_0_6B
    known_failures = (
        KnownFailure("xnnpack-fp32", stage="run", error="x", cause="y", issue="docs/a.md", until="2027-05-22"),
    )
"""


def test_expectations_are_found_in_the_test_file_of_the_family_for_that_model_only(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "test_gemma3.py").write_text(TEST_FILE, encoding="utf-8")
    assert discover(GEMMA3_270M, tmp_path) == (known(),)


def test_a_family_without_a_test_file_has_no_expectations(tmp_path):
    assert discover(GEMMA3_270M, tmp_path) == ()


def test_every_check_that_does_not_hold_has_to_be_known(make_record):
    checks = {
        "logits": Check(status="fail", message="max abs logit error 2.0"),
        "tokens": Check(status="fail", message="prompt 0 diverges at token 3"),
        "latency": Check(status="pass", message="diverges at token 3"),
    }
    record = make_record(status="fail", checks=checks, reason="logits: ...; tokens: ...")
    tokens = known(stage="compare", error="diverges at token 3")
    assert apply(record, [tokens], today=TODAY).status == "fail"
    both = [tokens, known(stage="compare", error="^logits: max abs")]
    assert apply(record, both, today=TODAY).status == "known_failure"
    expired = [tokens, known(stage="compare", error="^logits: max abs", until="2026-11-20")]
    assert apply(record, expired, today=TODAY).status == "fail"


def test_what_proves_nothing_is_never_known(make_record):
    checks = {"tokens": Check(status="inconclusive", message="proves nothing")}
    record = make_record(status="inconclusive", checks=checks, reason="tokens: proves nothing")
    assert apply(record, [known(stage="compare", error="proves nothing")], today=TODAY).status == "inconclusive"


def test_what_proves_nothing_is_not_excused_beside_what_is_known_either(make_record):
    checks = {
        "logits": Check(status="fail", message="max abs"),
        "tokens": Check(status="inconclusive", message="max abs"),
    }
    record = make_record(status="fail", checks=checks, reason="logits: max abs")
    assert apply(record, [known(stage="compare", error="max abs")], today=TODAY).status == "fail"


def test_a_crash_that_is_known_does_not_excuse_a_check_that_failed_before_it(failed):
    checks = {"logits": Check(status="fail", message="max abs")}
    crash = known(stage="measure", error="no kernel")
    assert apply(failed(stage="measure", checks=checks), [crash], today=TODAY).status == "fail"
    both = [crash, known(stage="compare", error="^logits: max abs")]
    assert apply(failed(stage="measure", checks=checks), both, today=TODAY).status == "known_failure"


def test_an_error_that_excuses_everything_is_refused():
    with pytest.raises(ValueError, match="an empty one excuses all"):
        known(error="")


def test_a_known_failure_of_a_configuration_that_is_never_run_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "test_gemma3.py").write_text(
        "from conformance import KnownFailure, ModelConformance\n"
        "from zoo.models.gemma3 import GEMMA3_270M\n"
        "class TestIt(ModelConformance):\n"
        "    model = GEMMA3_270M\n"
        "    known_failures = (KnownFailure('xnnpack-fp32-static', stage='lower', error='x', cause='y', "
        "issue='docs/a.md', until='2027-05-22'),)\n"
    )
    with pytest.raises(ConformanceError, match="a configuration that is never run"):
        discover(GEMMA3_270M, tmp_path)
    text = (tmp_path / "models" / "test_gemma3.py").read_text()
    (tmp_path / "models" / "test_gemma3.py").write_text(text.replace("xnnpack-fp32-static", "mlx-*"))
    with pytest.raises(ConformanceError, match=r"KnownFailure\('mlx-\*'\) is of a configuration that is never run"):
        discover(GEMMA3_270M, tmp_path)
    (tmp_path / "models" / "test_gemma3.py").write_text(text.replace("xnnpack-fp32-static", "xnnpack-*"))
    assert [failure.configuration for failure in discover(GEMMA3_270M, tmp_path)] == ["xnnpack-*"]
    (tmp_path / "models" / "test_gemma3.py").write_text("import nonsense_that_is_not_there\n")
    with pytest.raises(ConformanceError, match=r"test_gemma3\.py cannot be imported: ModuleNotFoundError"):
        discover(GEMMA3_270M, tmp_path)


@pytest.mark.parametrize(
    ("statuses", "state", "told"),
    [
        ({"portable-fp32": "fail"}, "holds", "fails as it says: portable-fp32"),
        ({"portable-fp32": "pass"}, "fixed", "passes: portable-fp32"),
        ({"portable-fp32": "fail", "portable-fp16": "pass"}, "fixed", "fails as it says: portable-fp32; passes: portable-fp16"),
        ({"portable-fp32": "not_applicable"}, "matches nothing", "1 not applicable"),
        ({"portable-fp32": "blocked", "portable-fp16": "inconclusive"}, "matches nothing", "1 blocked, 1 inconclusive"),
        ({"xnnpack-fp32": "fail"}, "matches nothing", "no record of what it covers"),
    ],
)
def test_records_say_how_an_entry_stands(failed, make_record, statuses, state, told):
    entry = known(configuration="portable-*")
    records = [
        failed(configuration=name) if status == "fail" else make_record(configuration=name, status=status)
        for name, status in statuses.items()
    ]
    judged = [apply(record, [entry], today=TODAY) for record in records]
    for found in (records, judged):
        stands = standing(entry, found, today=TODAY)
        assert (stands.state, stands.told) == (state, told)
    late = standing(entry, records, today=datetime.date(2027, 5, 23)).state
    assert late == ("fixed" if state == "fixed" else "expired")


def test_a_cell_that_fails_in_another_way_is_no_evidence(failed):
    stands = standing(known(), [failed(stage="export")], today=TODAY)
    assert (stands.state, stands.told) == ("matches nothing", "1 fail")


def test_the_projects_own_entries_hold(request):
    """This fails on the day after an entry expires: that is what the date is for."""
    root = request.config.rootpath
    records = read(root / "reports" / "records")
    files = with_known_failures(registry.models().values(), root / "tests")
    for path, suites in files.items():
        for suite, states in standings(suites, records).items():
            for each in states:
                assert each.state == "holds", f"{path}: {suite.__name__}: {each.entry}: {each.state}: {each.told}"
