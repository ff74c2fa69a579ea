"""The mutation score: each seeded defect must be caught, by the check that is there for it."""

import os

import pytest

from conformance.worker import run_isolated
from tests.faults import defects, mutants
from tests.faults.mutants import MutantRequest

CATALOGUE = defects.load()
CELLS = sorted({found.cell for found in CATALOGUE.values() if found.place != "gate"})


def run(cell, directory, defect=None):
    model, _, configuration = cell.partition("@")
    request = MutantRequest(model, configuration, os.fspath(directory / "cell"), defect=defect)
    return run_isolated(request, target="tests.faults.mutants:run")


@pytest.mark.parametrize("cell", CELLS)
def test_the_sound_cell_passes(tmp_path, cell):
    """Otherwise it would not be the defect that is caught."""
    record = run(cell, tmp_path)
    assert record.status == "pass", record.reason


@pytest.mark.parametrize("name", [name for name, found in CATALOGUE.items() if found.place != "gate"])
def test_a_defect_is_caught(tmp_path, name, mutation):
    found = CATALOGUE[name]
    record = run(found.cell, tmp_path, name)
    caught_by = mutants.failed(record)
    mutation(found, caught_by, mutants.said(record, found.caught_by))
    assert record.status not in {"pass", "not_applicable"}
    assert found.caught_by in caught_by, f"{record.status}: {record.reason}"
