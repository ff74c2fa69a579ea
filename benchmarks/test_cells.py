"""What a cell takes whose program is cached: ``pytest benchmarks/test_cells.py``.

pytest-benchmark's table has the time from the fork to the record. Each round is interleaved with one whose child goes through
the objects of the stack once, as each did before ``conformance/preload.py`` took them from the garbage collector; ``collected``
in ``--benchmark-json`` is the median of the ratios, above 1 when that takes longer.
"""

import gc
import os
import statistics
import time

import pytest

from conformance import worker
from conformance.cell import run_cell
from conformance.trail import CellRequest

CELLS = ("gemma3-270m@xnnpack-fp32-sdpa-kv", "bert-base@xnnpack-fp32", "bart-base@xnnpack-fp32")


def collected(request):
    """A cell. It is called in a child process."""
    gc.unfreeze()
    gc.collect()
    return run_cell(request)


@pytest.mark.parametrize("cell", CELLS)
def test_cached_cell(benchmark, tmp_path, cell):
    model, configuration = cell.split("@")
    request = CellRequest(model, configuration, os.fspath(tmp_path / "cell"))
    seconds = {worker.RUN_CELL: [], f"{__name__}:{collected.__name__}": []}

    def run(target):
        began = time.perf_counter()
        record = worker.run_isolated(request, target=target)
        seconds[target].append(time.perf_counter() - began)
        assert record.status == "pass", record.reason

    ours, other = seconds
    benchmark.group = "cached cells"
    benchmark.pedantic(run, args=(ours,), setup=lambda: run(other), rounds=5, warmup_rounds=1)
    ratios = [there / here for here, there in zip(seconds[ours], seconds[other], strict=True)][1:]
    benchmark.extra_info["collected"] = round(statistics.median(ratios), 2)
