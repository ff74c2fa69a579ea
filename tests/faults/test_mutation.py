"""The mutation score: each seeded defect must be caught, by the check that is there for it."""

import ast
import json
import os
from pathlib import Path

import pytest

from conformance.worker import run_isolated
from tests.faults import defects, mutants
from tests.faults.mutants import MutantRequest
from tests.faults.score import RECORDED
from zoo import registry

ROOT = Path(__file__).parents[2]

CATALOGUE = defects.load()
DECLARED = {found.caught_by for found in CATALOGUE.values()}
RECORDED_ONLY = {"export", "latency"}
"""Checks that always pass: what they say is recorded and not judged."""
EXPORTED = [registry.get(found.cell.partition("@")[0]) for found in CATALOGUE.values() if found.place == "exporter"]
"""The models that a defect of the exporter is put into."""


def pytest_generate_tests(metafunc):
    """What the tier runs: with ``core`` or ``smoke``, of the defects of the exporter one of each wrapper and check."""
    chosen = defects.chosen(CATALOGUE, metafunc.config.getoption("--tier"))
    run_here = {name: found for name, found in chosen.items() if found.place != "gate"}
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", run_here)
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", sorted({found.cell for found in run_here.values()}))


def run(cell, directory, defect=None):
    model, _, configuration = cell.partition("@")
    request = MutantRequest(model, configuration, os.fspath(directory / "cell"), defect=defect)
    return run_isolated(request, target="tests.faults.mutants:run")


def test_the_sound_cell_passes(tmp_path, cell):
    """Otherwise it would not be the defect that is caught."""
    record = run(cell, tmp_path)
    assert record.status == "pass", record.reason
    assert record.checks.keys() - RECORDED_ONLY <= DECLARED, "a check that no defect declares"


def test_a_defect_is_caught(tmp_path, name, mutation):
    found = CATALOGUE[name]
    record = run(found.cell, tmp_path, name)
    caught_by = mutants.failed(record)
    mutation(found, caught_by, mutants.said(record, found.caught_by))
    assert record.status not in {"pass", "not_applicable"}
    assert found.caught_by in caught_by, f"{record.status}: {record.reason}"


def recorded_checks():
    """The names of the checks in the committed records."""
    lines = (line for path in (ROOT / "reports" / "records").glob("*.jsonl") for line in path.read_text().splitlines())
    return {name for line in lines for name in json.loads(line)["checks"]}


def assigned_checks():
    """The names that ``record.checks[...]`` is assigned by tasks."""
    found = set()
    for path in (ROOT / "conformance" / "tasks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for target in node.targets if isinstance(node, ast.Assign) else ():
                match target:
                    case ast.Subscript(value=ast.Attribute(attr="checks"), slice=ast.Constant(value=str(name))):
                        found.add(name)
    return found


def test_the_recorded_score_is_of_this_catalogue():
    """Otherwise: ``pytest tests/faults --record-mutation-score``, and ``zoo report``."""
    recorded = json.loads((ROOT / RECORDED).read_text())["defects"]
    known = {(each["name"], each["says"], each["place"], each["cell"], each["declared"]) for each in recorded}
    assert known == {(each.name, each.says, each.place, each.cell, each.caught_by) for each in CATALOGUE.values()}
    assert all(each["caught"] for each in recorded)


CHECKS = (recorded_checks() | assigned_checks()) - RECORDED_ONLY


def test_the_checks_are_found():
    assert {"logits", "tokens", "cache_state", "contract"} <= recorded_checks() & assigned_checks()


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_a_check_has_a_defect_that_it_must_catch(check):
    """A new kind of check brings its defects: nobody knows what it is worth otherwise."""
    assert check in DECLARED, f"no defect in tests/faults/defects is caught_by={check!r}"


@pytest.mark.parametrize("kind", ["wrapper", "task"])
def test_a_wrapper_and_a_task_have_a_defect(kind):
    """A new wrapper or task brings its defects."""
    without = {getattr(model, kind) for model in registry.models().values()} - {getattr(model, kind) for model in EXPORTED}
    assert not without, f"no defect of the exporter in tests/faults/defects is put into a cell of {kind} {sorted(without)}"
