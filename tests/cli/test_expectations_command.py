"""``zoo expectations``, and what ``zoo run`` says of known failures that pass or have expired. No cell is run."""

import datetime

import pytest

from conformance import cli, expectations
from conformance.expectations import apply
from conformance.record import Failure, Record, write
from conformance.suite import discover
from conformance.trail import CellRequest, blank_record
from zoo import registry
from zoo.models.gemma3 import GEMMA3_270M

TESTS = """# Kept   as it is.
from conformance import KnownFailure, ModelConformance
from zoo.models.gemma3 import GEMMA3_270M


class TestGemma3(ModelConformance):
    model = GEMMA3_270M
    known_failures = (
        KnownFailure(  # an odd one
            "portable-fp32",
            stage="lower",
            error="no kernel",
            cause="missing",
            issue="https://example.org/7",
            until="2027-05-22",
        ),
        # and a wide one
        KnownFailure("xnnpack-*", stage="lower", error="no kernel", cause="missing", issue="docs/a.md", until="2027-01-01"),
    )

    def test_own(self):  # odd   spacing
        pass
"""


@pytest.fixture
def zoo(invoke, tmp_path, monkeypatch):
    """Runs the command in a project of one test file, on a day on which all of its entries are valid."""
    monkeypatch.setattr("conformance.worker.run_isolated", lambda *args, **kwargs: pytest.fail("a cell was run"))
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2026, 11, 22))
    monkeypatch.setattr(cli.console.out, "width", 300)
    (tmp_path / "tests" / "models").mkdir(parents=True)
    (tmp_path / "tests" / "models" / "test_gemma3.py").write_text(TESTS)
    return invoke


@pytest.fixture
def test_file(tmp_path):
    return tmp_path / "tests" / "models" / "test_gemma3.py"


def cell(configuration, status):
    request = CellRequest(GEMMA3_270M.name, configuration, "")
    failure = None if status == "pass" else Failure(stage="lower", kind="RuntimeError", message="no kernel")
    reason = "" if failure is None else "RuntimeError: no kernel"
    return blank_record(GEMMA3_270M, request, status=status, reason=reason, failure=failure)


@pytest.fixture
def recorded(tmp_path, zoo):
    """Writes the project's records: cells by configuration and outcome, judged as a run does."""

    def record(**statuses):
        known = discover(GEMMA3_270M, tmp_path / "tests")
        cells = [apply(cell(name.replace("_", "-"), status), known) for name, status in statuses.items()]
        write(tmp_path / "reports" / "records", cells)

    return record


def test_the_entries_are_listed_with_their_states(zoo, recorded):
    recorded(portable_fp32="fail", xnnpack_fp32="crash")
    done = zoo("expectations")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:5] for line in done.out.splitlines()[1:]] == [
        ["holds", "gemma3-270m", "portable-fp32", "lower", "2027-05-22"],
        ["holds", "gemma3-270m", "xnnpack-*", "lower", "2027-01-01"],
    ]
    assert (zoo("expectations", "--check").code, zoo("expectations", "gemma3", "--update").code) == (0, 0)
    assert zoo("expectations", "llama").out == "there are no known failures\n"


def test_a_fixed_entry_is_removed_and_the_rest_is_as_it_was(zoo, recorded, test_file):
    recorded(portable_fp32="pass", xnnpack_fp32="fail")
    checked = zoo("expectations", "--check")
    assert (checked.code, test_file.read_text()) == (1, TESTS)
    assert "tests/models/test_gemma3.py, lines 9 to 16 ('zoo expectations --update' makes this edit):" in checked.out
    assert '-            "portable-fp32",\n' in checked.out
    assert zoo("expectations").code == 0
    done = zoo("expectations", "--update")
    assert (done.code, done.out.splitlines()[-1]) == (0, "wrote tests/models/test_gemma3.py")
    first = TESTS.index("        KnownFailure(  # an odd one")
    assert test_file.read_text() == TESTS[:first] + TESTS[TESTS.index("        # and a wide one") :]
    assert [entry.configuration for entry in discover(GEMMA3_270M, test_file.parents[1])] == ["xnnpack-*"]
    assert zoo("expectations", "--check").code == 0


def test_a_pattern_is_narrowed_to_what_still_fails(zoo, recorded, test_file):
    recorded(portable_fp32="fail", xnnpack_fp32="pass", xnnpack_fp32_sdpa_kv="fail")
    assert zoo("expectations", "--update").code == 0
    assert test_file.read_text() == TESTS.replace("xnnpack-*", "xnnpack-fp32-sdpa-kv")


def test_the_last_entry_leaves_a_valid_file_without_the_import(zoo, recorded, test_file):
    recorded(portable_fp32="pass", xnnpack_fp32="pass")
    assert zoo("expectations", "--update").code == 0
    text = test_file.read_text()
    assert text.startswith("# Kept   as it is.\nfrom conformance import ModelConformance\n")
    assert text.endswith("    model = GEMMA3_270M\n\n    def test_own(self):  # odd   spacing\n        pass\n")
    assert discover(GEMMA3_270M, test_file.parents[1]) == ()
    assert zoo("expectations", "--check").out == "there are no known failures\n"


def test_what_expired_or_matches_nothing_is_left_to_people(zoo, recorded, test_file, monkeypatch):
    recorded(portable_fp32="fail")
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2027, 5, 23))
    for option in ("--check", "--update"):
        done = zoo("expectations", option)
        assert (done.code, test_file.read_text()) == (1, TESTS)
        assert "KnownFailure('portable-fp32', stage='lower', ...) expired on 2027-05-22: look at it again" in done.err
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2026, 11, 22))
    done = zoo("expectations", "--check")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "KnownFailure('xnnpack-*', stage='lower', ...) matches nothing" in done.err


def test_what_cannot_be_done_is_refused(zoo, recorded, test_file):
    assert "give one of them" in zoo("expectations", "--check", "--update").err
    done = zoo("expectations")
    assert (done.code, done.out) == (2, "")
    assert "there are no records at reports/records" in done.err
    recorded(portable_fp32="pass")
    test_file.write_text(TESTS.replace("known_failures = (", "known_failures = () + ("))
    done = zoo("expectations", "--update")
    assert done.code == 2
    assert "edit them by hand" in done.err


@pytest.fixture
def outcomes(zoo, monkeypatch):
    """Lets cells end so, without running them."""

    def set_outcomes(status):
        def run(request, **_) -> Record:
            return cell(request.configuration, status)

        monkeypatch.setattr("conformance.worker.run_isolated", run)

    return set_outcomes


def test_a_run_prints_the_edit_for_what_passes(zoo, outcomes, test_file):
    outcomes("pass")
    done = zoo("run", "gemma3-270m", "-c", "portable-fp32")
    assert done.code == 1
    assert "fixed: gemma3-270m@portable-fp32: passes, but is listed as a known failure (missing)" in done.out
    assert "tests/models/test_gemma3.py, lines 9 to 16" in done.out
    assert '-            "portable-fp32",\n' in done.out
    assert test_file.read_text() == TESTS


def test_an_expired_entry_fails_the_run_and_says_what_to_do(zoo, outcomes, monkeypatch):
    outcomes("fail")
    assert zoo("run", "gemma3-270m", "-c", "portable-fp32").code == 0
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2027, 5, 23))
    done = zoo("run", "gemma3-270m", "-c", "portable-fp32")
    assert done.code == 1
    assert (
        "fail: gemma3-270m@portable-fp32: KnownFailure('portable-fp32', stage='lower', ...) expired on 2027-05-22" in done.out
    )
    assert "look at it again (https://example.org/7), then remove it from its test file" in done.err


def test_an_entry_that_expired_fails_a_run_of_cells_that_mean_nothing(zoo, monkeypatch, test_file):
    (test_file.parent / "test_mamba.py").write_text(
        "from conformance import KnownFailure, ModelConformance\n"
        "from zoo.models.mamba import MAMBA_130M\n"
        "class TestIt(ModelConformance):\n"
        "    model = MAMBA_130M\n"
        "    known_failures = (KnownFailure('xnnpack-fp32-sdpa-kv', stage='lower', error='x', cause='y', "
        "issue='docs/a.md', until='2027-05-22'),)\n"
    )
    assert registry.get("mamba-130m").task == "text-generation"
    arguments = ("run", "mamba", "-c", "xnnpack-fp32-sdpa-kv")
    assert zoo(*arguments).code == 0
    monkeypatch.setattr(expectations, "today", lambda: datetime.date(2027, 5, 23))
    done = zoo(*arguments)
    assert done.code == 1
    assert "expired on 2027-05-22" in done.err
