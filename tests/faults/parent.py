"""Runs cells, and can be killed: ``python -m tests.faults.parent DIRECTORY TARGET ...`` prints a line for each."""

import os
import sys
from pathlib import Path

from conformance import worker
from conformance.trail import CellRequest

if __name__ == "__main__":
    worker.PRELOAD = "tests.faults.bare"
    directory, *targets = sys.argv[1:]
    for target in targets:
        request = CellRequest("gemma3-270m", "xnnpack-fp32", os.fspath(Path(directory) / target))
        record = worker.run_isolated(request, limits=worker.Limits(seconds=120), target=f"tests.faults.attacks:{target}")
        print(target, record.status, record.reason, flush=True)
