"""Attacks on the suite, from a cell's child process. The functions are called by name in the child; what a test wants of one is
in the file ``orders.json`` in the cell's directory."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from conformance import worker
from conformance.record import Record
from conformance.trail import CellRequest, Trail, blank_record
from tests.faults.cells import at_stage
from zoo import registry

CHUNK = 16 << 20


def order(place, **orders):
    """From the test: what a cell's child is to do."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "orders.json").write_text(json.dumps(orders))


def _orders(request):
    return json.loads((Path(request.directory) / "orders.json").read_text())


def _passes(request: CellRequest, reason="") -> Record:
    return blank_record(registry.get(request.model), request, status="pass", reason=reason)


# Real cells


def real_cell(request: CellRequest) -> Record:
    """A cell, with the cache, the rights and the space that the orders leave it, and what they do to it as a stage begins."""
    from conformance.cell import run_cell

    orders = _orders(request)
    if "cache" in orders:
        os.environ["ZOO_CACHE"] = orders["cache"]
    if "largest" in orders:
        resource.setrlimit(resource.RLIMIT_FSIZE, (orders["largest"], orders["largest"]))
    if orders.get("rights") == "owner":
        _give_up_roots_rights()
    begin = Trail.begin

    def attacked(trail, stage):
        begin(trail, stage)
        if stage == orders.get("stage"):
            if "signal" in orders:
                os.kill(os.getpid(), orders["signal"])
                time.sleep(60)  # until it arrives
            if "harm" in orders:
                _flip_a_byte(Path(orders["harm"]))

    Trail.begin = attacked
    return run_cell(request)


def _flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _give_up_roots_rights():
    """Let permissions count for root, too: drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    import ctypes

    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, data) == 0
    for index in (0, 1):  # effective and permitted
        data[index] &= ~0b110
    assert libc.capset(header, data) == 0


# Process trees


def leaves_daemons(request: CellRequest) -> Record:
    """Start processes in all the ways there are to get away, note their numbers, and end as ordered."""
    trail = at_stage(request, "run")
    pids = Path(request.directory) / "pids"
    for number, escape in enumerate((_forks, _forks_a_group, _forks_a_session, _forks_twice, _starts_a_program), start=1):
        escape(pids)
        while not pids.is_file() or len(pids.read_text().split()) < number:
            time.sleep(0.01)
    how = _orders(request)["end"]
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "hangs":
        time.sleep(0.05)
    trail.begin("compare")
    return _passes(request)


def _linger(pids):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        time.sleep(0.05)


def _forks(pids):
    if os.fork() == 0:
        _linger(pids)


def _forks_a_group(pids):
    if os.fork() == 0:
        os.setpgid(0, 0)
        _linger(pids)


def _forks_a_session(pids):
    if os.fork() == 0:
        os.setsid()
        _linger(pids)


def _forks_twice(pids):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            _linger(pids)
        os._exit(0)


def _starts_a_program(pids):
    program = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    with pids.open("a") as file:
        file.write(f"{program.pid}\n")


def lets_another_hoard(request: CellRequest) -> Record:
    """The child itself stays small, and what it has forked does not."""
    at_stage(request, "lower")
    if os.fork() == 0:
        os.setsid()
        hoard = []
        while len(hoard) * CHUNK < 8 << 30:
            hoard.append(bytearray(CHUNK))
            hoard[-1][::4096] = b"1" * (CHUNK // 4096)
            time.sleep(0.01)
    while True:
        time.sleep(0.05)


def stops_itself(request: CellRequest) -> Record:
    at_stage(request, "run")
    os.kill(os.getpid(), signal.SIGSTOP)
    return _passes(request)


def hangs_in_native_code(request: CellRequest) -> Record:
    """Hang as a kernel does that keeps Python's lock: no other thread of this process ever runs again."""
    import ctypes

    at_stage(request, "run")
    (Path(request.directory) / "pids").write_text(f"{os.getpid()}\n")
    ctypes.PyDLL(None).pause()
    return _passes(request)


def kills_its_group(request: CellRequest) -> Record:
    at_stage(request, "run")
    os.killpg(0, signal.SIGKILL)
    return _passes(request)


def kills_its_server(request: CellRequest) -> Record:
    """What the system may do when memory runs out: the fork server dies, and the cell has done nothing wrong."""
    at_stage(request, "run")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)
    return _passes(request)


# Output and files


def says_too_much(request: CellRequest) -> Record:
    """Print to both outputs until they were cut twice; the record tells how long they were at most."""
    longest = cuts = before = 0
    until = time.monotonic() + 60
    while cuts < 2 and time.monotonic() < until:
        for descriptor in (1, 2):
            os.write(descriptor, (b"x" * 127 + b"\n") * 2048)
        size = os.fstat(1).st_size
        longest, cuts, before = max(longest, size), cuts + (size < before), size
        time.sleep(0.002)
    time.sleep(0.5)  # what is written at the moment of a cut may be lost
    os.write(2, b"E 00:00:00 executorch:method.cpp:1] the last that was said\n")
    at_stage(request, "run")
    if _orders(request)["end"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return _passes(request, reason=f"{cuts} {longest}")


def closes_files(request: CellRequest) -> Record:
    at_stage(request, "run")
    os.closerange(0, 4096)
    return _passes(request)


def closes_the_pipe_of_its_parent(request: CellRequest) -> Record:
    """Before it is watched, and not while, when nobody would notice."""
    os.close(multiprocessing.parent_process().sentinel)
    threading.Thread(target=worker._die_with_the_parent, daemon=True).start()
    at_stage(request, "run")
    time.sleep(1)
    return _passes(request)


def leaves_temporary_files(request: CellRequest) -> Record:
    """The record tells where they were."""
    descriptor, name = tempfile.mkstemp()
    os.write(descriptor, b"scratch")
    told = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
    (Path(request.directory) / "told").write_text(f"{name}\n{told}\n{tempfile.mkdtemp()}\n")
    at_stage(request, "run")
    if _orders(request)["end"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return _passes(request)


def leaves_what_is_no_record(request: CellRequest) -> Record:
    at_stage(request, "compare")
    place = Path(request.directory) / "record.json"
    what = _orders(request)["what"]
    if what == "another":
        place.write_text(_passes(request).model_copy(update={"model": "another"}).model_dump_json())
    elif what == "sparse":
        with place.open("wb") as file:
            file.truncate(1 << 40)
    else:
        place.write_bytes(bytes.fromhex(what))
    os._exit(0)


def leaves_no_breadcrumbs(request: CellRequest) -> Record:
    """A trail that is none, of which the parent must make what it can."""
    at_stage(request, "lower")
    with (Path(request.directory) / "stages.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n7\n{"end": 1}\n{"other": 1}\n' + b"[" * 100_000 + b'\n{"begin": "emi')
    os.kill(os.getpid(), signal.SIGKILL)
    return _passes(request)


def has_no_space(request: CellRequest) -> Record:
    """Nothing can be written any more, not even the breadcrumbs."""
    from conformance.cell import run_cell

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return run_cell(request)


# Runs


def waits_at_the_last(request: CellRequest) -> Record:
    """Pass, but for one configuration, which hangs for as long as there is no file ``go`` in the run's directory."""
    at_stage(request, "run")
    while request.configuration == "xnnpack-fp32-sdpa-kv" and not (Path(request.directory).parents[1] / "go").exists():
        time.sleep(0.05)
    return _passes(request)
