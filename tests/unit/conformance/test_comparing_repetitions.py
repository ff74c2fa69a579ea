"""Repetitions of a run are held against each other: what differs is named, and what is no repetition is refused."""

import json
import os

import pytest

from benchmarks import repeatability as command
from conformance import repeatability, runs
from conformance.errors import ConformanceError
from conformance.matrix import Cell
from conformance.record import Check, Failure, GenerationRecord, StageRecord
from zoo.models.smollm2 import SMOLLM2_135M

CELLS = ("portable-fp32", "xnnpack-fp32")


@pytest.fixture
def repetition(tmp_path, make_record):
    """Makes a run directory with the verdict of each cell; ``changed`` has fields of records by configuration."""

    def make(name, changed=None, options=None, left_out=()):
        directory = tmp_path / name
        manifest = runs.planned([Cell(SMOLLM2_135M, each) for each in CELLS], options=options or {"scale": "twin"})
        runs.start(directory, manifest)
        for configuration in CELLS:
            if configuration not in left_out:
                fields = {
                    "created": f"2026-11-2{name}T08:00:00+00:00",
                    "checks": {"logits": check("pass"), "latency": check("pass", seconds=int(name))},
                    "generations": [said(1, 2, 3)],
                    "stages": [StageRecord(name="export", seconds=int(name), cached=name != "1")],
                    "latency": {"executorch": {"load_ms": int(name)}},
                    "host": {"processor": "a processor", "load": name},
                    **(changed or {}).get(configuration, {}),
                }
                place = directory / "cells" / f"smollm2-135m@{configuration}"
                place.mkdir(parents=True)
                record = make_record(configuration=configuration, **fields)
                (place / "verdict.json").write_text(record.model_dump_json(), encoding="utf-8")
        return directory

    return make


def check(status, **metrics):
    return Check(status=status, message="", metrics=metrics)


def said(*tokens):
    return GenerationRecord(
        prompt="p", prompt_tokens=1, reference=[1, 2, 3], tokens=list(tokens), text="", stop="eos", smallest_margin=1.0
    )


def test_repetitions_that_differ_only_in_times_are_the_same(repetition):
    found = repeatability.summarised([repetition("1"), repetition("2"), repetition("3")])
    assert (found.repetitions, found.cells, found.models) == (3, 2, 1)
    assert (found.statuses, found.verdicts, found.checks) == ({"pass": 6}, 6, 12)
    assert (found.same_verdicts, found.same_figures, found.differing) == (2, 2, [])
    assert found.created == "2026-11-23T08:00:00+00:00"
    assert found.processors == ["a processor"]


def test_another_verdict_is_reported_with_what_was_found_how_often(repetition):
    failed = {"status": "fail", "reason": "logits", "checks": {"logits": check("fail"), "latency": check("pass")}}
    found = repeatability.summarised([repetition("1"), repetition("2", {"xnnpack-fp32": failed}), repetition("3")])
    assert (found.same_verdicts, found.same_figures) == (1, 1)
    assert found.statuses == {"pass": 5, "fail": 1}
    (differing,) = found.differing
    assert differing.cell == "smollm2-135m@xnnpack-fp32"
    assert {each.field: dict(each.values) for each in differing.verdicts} == {
        "status": {'"pass"': 2, '"fail"': 1},
        "checks.logits": {'"pass"': 2, '"fail"': 1},
    }
    assert [each.field for each in differing.figures] == ["reason"]


@pytest.mark.parametrize(
    ("fields", "field", "places"),
    [
        ({"checks": {"logits": check("pass", max_abs_error=1e-9), "latency": check("pass")}}, "checks.logits.metrics", 1),
        ({"generations": [said(1, 4, 5)]}, "generations.tokens", 2),
        ({"generations": [said(1, 2)]}, "generations.tokens", 1),
        ({"file_sha256": "0" * 64}, "file_sha256", 1),
    ],
)
def test_another_figure_is_no_other_verdict_and_is_reported_too(repetition, fields, field, places):
    found = repeatability.summarised([repetition("1"), repetition("2", {"portable-fp32": fields})])
    assert (found.same_verdicts, found.same_figures) == (2, 1)
    (differing,) = found.differing
    assert differing.verdicts == []
    assert [each.field.startswith(field) for each in differing.figures] == [True] * len(differing.figures) != []
    assert differing.figures[0].places == places
    assert sum(count for _, count in differing.figures[0].values) == 2


def test_a_check_that_was_made_once_is_another_verdict(repetition):
    found = repeatability.summarised(
        [repetition("1"), repetition("2", {"portable-fp32": {"checks": {"latency": check("pass")}}})]
    )
    assert [each.field for each in found.differing[0].verdicts] == ["checks.logits"]


def test_a_death_at_another_stage_is_another_verdict(repetition):
    deaths = [
        {"portable-fp32": {"status": "crash", "failure": Failure(stage=stage, kind="SIGSEGV", message="")}}
        for stage in ("open", "run")
    ]
    found = repeatability.summarised([repetition("1", deaths[0]), repetition("2", deaths[1])])
    assert [each.field for each in found.differing[0].verdicts] == ["stage"]


def test_what_is_told_stays_small(repetition):
    found = repeatability.summarised(
        [repetition(str(index), {"portable-fp32": {"reason": f"{index}" * 9999}}) for index in range(9)]
    )
    assert len(found.model_dump_json()) < 3000


def test_a_run_of_other_options_is_no_repetition(repetition):
    sides = repetition("1"), repetition("2", options={"scale": "full"})
    with pytest.raises(ConformanceError, match=r"does not repeat.*scale: twin, now full"):
        repeatability.summarised(sides)


@pytest.mark.parametrize(("field", "told"), [("source", "the code .* has changed"), ("cells", "cells: 2 others")])
def test_a_run_of_other_code_or_another_part_is_no_repetition(repetition, field, told):
    sides = repetition("1"), repetition("2")
    path = sides[1] / runs.MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest[field] = "0" if field == "source" else manifest["cells"][:1]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ConformanceError, match=told):
        repeatability.summarised(sides)


def test_an_unfinished_run_is_refused_with_what_continues_it(repetition):
    sides = repetition("1"), repetition("2", left_out=["xnnpack-fp32"])
    with pytest.raises(ConformanceError, match=rf"1 of its 2 cells are missing. Continue it: zoo run --resume {sides[1]}"):
        repeatability.summarised(sides)


def test_one_run_repeats_nothing(repetition):
    run = repetition("1")
    for sides in ([run], [run, run], []):
        with pytest.raises(ConformanceError, match="at least two directories"):
            repeatability.summarised(sides)


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """Calls the command that only compares; gives its exit code and what it wrote, if it did."""

    def call(*arguments):
        output = tmp_path / "made" / "found.json"
        monkeypatch.setattr("sys.argv", ["repeatability", "--output", os.fspath(output), *map(os.fspath, arguments)])
        try:
            command.main()
        except SystemExit as error:
            return error.code, output.is_file() and repeatability.Repeatability.model_validate_json(output.read_bytes())
        return 0, repeatability.Repeatability.model_validate_json(output.read_bytes())

    return call


def test_the_command_writes_what_it_found(repetition, compare, capsys):
    code, found = compare("--only-compare", repetition("1"), repetition("2"))
    assert (code, found.same_verdicts, found.cells) == (0, 2, 2)
    assert "2 repetitions of 2 cells: 2 with the same verdicts, 2 with the same figures" in capsys.readouterr().out


def test_the_command_fails_and_names_what_differs_where_verdicts_do(repetition, compare, capsys):
    code, found = compare("--only-compare", repetition("1"), repetition("2", {"portable-fp32": {"status": "oom"}}))
    assert (code, found.same_verdicts) == (1, 1)
    assert 'smollm2-135m@portable-fp32: status: "pass" (1 times), "oom" (1 times)' in capsys.readouterr().out


def test_the_command_does_not_fail_where_only_figures_differ(repetition, compare):
    code, found = compare("--only-compare", repetition("1"), repetition("2", {"portable-fp32": {"file_bytes": 7}}))
    assert (code, found.same_verdicts, found.same_figures) == (0, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only-compare", "a", "b", "--tier", "core", "-j", "1"], "leave tier, jobs out"),
        (["--only-compare", "a", "b"], "a is no run directory"),
        (["--times", "1"], "--times 1: at least 2"),
        (["no-such-model"], "unknown model or family 'no-such-model'"),
    ],
)
def test_the_command_refuses_what_it_cannot_use_and_writes_nothing(compare, capsys, arguments, told):
    assert compare(*arguments) == (2, False)
    assert told in capsys.readouterr().err
