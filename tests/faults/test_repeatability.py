"""The same cells again: the same verdicts and, but for times, the same figures. All cells, twenty times:
``python -m benchmarks.repeatability``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import repeatability, runs
from conformance.merging import judgement, stable
from conformance.trail import CellRequest
from conformance.worker import Limits, run_isolated
from zoo import registry

ROOT = Path(__file__).parents[2]
SAMPLE = (
    "gemma3-270m@xnnpack-fp32-sdpa-kv",
    "smollm2-135m@xnnpack-fp32-sdpa-kv-8da4w-emb8w",
    "vit-base@xnnpack-fp32",
    "wav2vec2-base@xnnpack-fp32",
)
"""A decoder, a quantized decoder, images, and speech."""
REPETITIONS = 3


@pytest.mark.parametrize("cell", SAMPLE)
def test_a_cell_has_the_same_verdicts_and_figures_again(cell, tmp_path):
    model, _, configuration = cell.partition("@")
    row = registry.get(model)
    repetitions = [
        run_isolated(CellRequest(model, configuration, os.fspath(tmp_path / str(number)), row=row), limits=Limits(seconds=600))
        for number in range(REPETITIONS)
    ]
    assert [record.status for record in repetitions] == ["pass"] * REPETITIONS, [record.reason for record in repetitions]
    assert len(repetitions[0].checks) > 5
    assert repeatability.differences([{cell: record} for record in repetitions]) == []
    assert all(judgement(record) == judgement(repetitions[0]) for record in repetitions)
    assert all(stable(record) == stable(repetitions[0]) for record in repetitions)


def zoo_again(directory, *arguments):
    command = [sys.executable, "-m", "benchmarks.repeatability", "mamba-130m", "-c", "xnnpack-fp32-sdpa-kv", "--times", "2"]
    output = ["--directory", os.fspath(directory), "--output", os.fspath(directory / "found.json")]
    return subprocess.run([*command, *output, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_runs_that_are_whole_are_kept_and_others_are_continued(tmp_path):
    first = zoo_again(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "2 repetitions of 1 cells: 1 with the same verdicts, 1 with the same figures" in first.stdout
    verdicts = [tmp_path / number / "cells" / "mamba-130m@xnnpack-fp32-sdpa-kv" / "verdict.json" for number in ("01", "02")]
    kept = verdicts[0].stat().st_mtime_ns
    verdicts[1].unlink()
    again = zoo_again(tmp_path)
    assert again.returncode == 0, again.stderr
    assert verdicts[0].stat().st_mtime_ns == kept
    assert verdicts[1].is_file()
    assert runs.finished(tmp_path / "02").keys() == {"mamba-130m@xnnpack-fp32-sdpa-kv"}
