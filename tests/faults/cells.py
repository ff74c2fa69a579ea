"""What a cell's child process is made to do instead of its work. The functions are called by name in the child."""

import os
import signal
import time
from pathlib import Path

from conformance.record import Record, StageRecord
from conformance.trail import CellRequest, Trail, blank_record
from zoo import registry


def at_stage(request: CellRequest, stage: str) -> Trail:
    """Leave the breadcrumbs of a cell that has reached ``stage``."""
    trail = Trail(Path(request.directory))
    trail.begin("resolve")
    trail.end(StageRecord(name="resolve", seconds=0.01))
    trail.begin(stage)
    return trail


def passes(request: CellRequest) -> Record:
    return blank_record(registry.get(request.model), request, status="pass")


def is_killed(request: CellRequest) -> Record:
    at_stage(request, "lower")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def breaks_memory(request: CellRequest) -> Record:
    at_stage(request, "run")
    os.write(2, b"E 00:00:00 executorch:method.cpp:1] a reason that only stderr knows\n")
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hoards_memory(request: CellRequest) -> Record:
    at_stage(request, "export")
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1 << 20)) * 16)


def hangs(request: CellRequest) -> Record:
    at_stage(request, "run")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.05)


def leaves(request: CellRequest) -> Record:
    at_stage(request, "emit")
    os._exit(3)


def runs_out(request: CellRequest) -> Record:
    """Like ``run_cell`` with a task that cannot allocate."""
    from conformance import cell, tasks

    def task(model, request, trail, record):
        trail.begin("baseline")
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory: you tried")

    tasks.runner = lambda _: task
    return cell.run_cell(request)


def raises(request: CellRequest) -> Record:
    """Like ``run_cell`` with a task that fails in the middle."""
    from conformance import cell, tasks

    def task(model, request, trail, record):
        with trail.stage("resolve"):
            pass
        trail.begin("export")
        raise KeyError("an upstream surprise")

    tasks.runner = lambda _: task
    return cell.run_cell(request)


class _Slow:
    """A session that takes four times as long as another one."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def forward(self, tokens, position):
        began = time.perf_counter()
        answer = self.inner.forward(tokens, position)
        until = time.perf_counter() + 3 * (time.perf_counter() - began)
        while time.perf_counter() < until:
            pass
        return answer


def four_times_as_long(request: CellRequest) -> Record:
    """A launch of a program that is slow."""
    from conformance.remeasure import time_cell

    return time_cell(request, wrap=_Slow)


def knows_its_model(request: CellRequest) -> Record:
    return blank_record(request.known, request, status="pass")


def loops_in_a_template(request: CellRequest) -> Record:
    """A chat template within the sandbox's limits that takes years."""
    from transformers import AutoTokenizer

    at_stage(request, "baseline")
    tokens = AutoTokenizer.from_pretrained(Path(request.directory) / "checkpoint", local_files_only=True)
    loops = "".join(f"{{% for i{level} in range(99999) %}}" for level in range(3)) + "{% endfor %}" * 3
    tokens.apply_chat_template([{"role": "user", "content": "hello"}], chat_template=loops, tokenize=False)
    return passes(request)
