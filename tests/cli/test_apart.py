"""A command that runs a program in a child outlives it, keeps its limits, and passes on Ctrl-C."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest

SCRIPT = """
import math, os, resource, signal, sys, time
from conformance import isolation
from conformance.sessions.stderr import CapturedStderr
from conformance.sessions.protocol import SessionError
from conformance.worker import Limits

isolation.allow()
try:
    isolation.apart("damaged.pte", Limits({seconds}, {memory}))
except SessionError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
assert isolation.expendable()
{body}
"""
DEAF = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nprint('busy', os.getpid(), flush=True)\ntime.sleep(300)"
"""Looks for no signal, as a kernel that does not end."""
COUNTS = """
def count(number, frame):
    global seen
    seen += 1
    before(number, frame)

seen, before = 0, signal.getsignal(signal.SIGINT)
signal.signal(signal.SIGINT, count)
for turn in range(2):
    try:
        print(f"turn {turn}", flush=True)
        time.sleep(300)
    except KeyboardInterrupt:
        time.sleep(0.5)
print(f"seen {seen}", flush=True)
"""


def script(body, *, seconds="math.inf", memory="0"):
    return [sys.executable, "-c", SCRIPT.format(body=body, seconds=seconds, memory=memory)]


def run(body, **limits):
    return subprocess.run(script(body, **limits), input="said\n", capture_output=True, text=True, timeout=300, check=False)


def start(body, **options):
    return subprocess.Popen(script(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def is_gone(process):
    """Whether a process ends soon."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_the_child_has_the_commands_pipes_and_its_exit_code_is_the_commands():
    done = run("print(input()); print('told', file=sys.stderr); sys.exit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "told\n")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS"])
def test_a_child_that_dies_is_one_line_that_says_what_to_type(name):
    done = run(f"os.kill(os.getpid(), signal.{name})")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"damaged.pte: the runtime died of {name}." in done.stderr
    assert "'zoo inspect damaged.pte' reads it without running it" in done.stderr


def test_what_the_runtime_said_before_it_died_is_told():
    said = "F 00:00 executorch:x.cpp:1] In function f(), assert failed"
    done = run(f"with CapturedStderr():\n    os.write(2, b'{said}\\n')\n    os.abort()")
    assert done.stderr.count("\n") == 1
    assert f"died of SIGABRT ({said})" in done.stderr


def test_a_child_that_is_killed_from_outside_may_have_had_no_memory():
    done = run("os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == 2
    assert "was ended from outside by SIGKILL. The machine may have run out of memory" in done.stderr


def test_a_child_that_takes_all_memory_is_ended():
    done = run("held = [bytes(b'1') * 2**24 for _ in iter(int, 1)]", memory="400 * 2**20")
    assert done.returncode == 2
    assert "more than the 400 MiB allowed. --timeout and --memory set the limits" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_child_that_does_not_end_is_ended():
    done = run("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(300)", seconds="0.5")
    assert done.returncode == 2
    assert "it took longer than the 0.5 s allowed" in done.stderr


def test_no_core_is_left():
    assert run("print(resource.getrlimit(resource.RLIMIT_CORE))").stdout == "(0, 0)\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_does_not_outlive_its_command(number):
    command = start(DEAF)
    child = int(command.stdout.readline().split()[1])
    assert child != command.pid
    command.send_signal(number)
    assert command.wait(60) == -number
    assert is_gone(child)
    command.communicate()


def test_an_interrupt_of_the_command_alone_reaches_the_child():
    command = start(COUNTS, start_new_session=True)
    for turn in range(2):
        assert command.stdout.readline() == f"turn {turn}\n"
        command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    assert out == "seen 2\n"
    assert command.returncode == 0


def test_a_second_interrupt_ends_a_child_that_heeds_none():
    command = start(DEAF, start_new_session=True)
    child = int(command.stdout.readline().split()[1])
    command.send_signal(signal.SIGINT)
    assert command.stderr.readline() == "the program is busy; Ctrl-C again ends it.\n"
    assert not is_gone_now(child)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGINT
    assert is_gone(child)


def is_gone_now(process):
    return not psutil.pid_exists(process)


def test_ctrl_c_at_a_terminal_reaches_the_child_once():
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, script(COUNTS))
    shown, sent, deadline = "", 0, time.monotonic() + 120
    while "seen" not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                break
        if sent < 2 and f"turn {sent}" in shown:
            os.write(terminal, b"\x03")
            sent += 1
    if "seen" not in shown:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert "seen 2" in shown
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_process_that_is_not_the_commands_own_is_left_whole():
    code = "from conformance import isolation, worker; isolation.apart('x', worker.Limits()); print(isolation.expendable())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
