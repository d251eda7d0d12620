"""Time limits on a busy machine: work counts as processor time, sleep and the work of helpers as time of the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Outcome, Sandbox

LIMITS = Limits(seconds=2.0)
WORK = (
    "import time\ndef work(seconds):\n    end = time.process_time() + seconds\n"
    "    while time.process_time() < end: pass\n"
)
NUM_HOGS = 6
"""Busy processes for each processor, so that a program gets a seventh of one."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(num_servers=1) as box:
        yield box


@pytest.fixture
def hogs() -> Iterator[None]:
    """Keep all processors busy; each in a session of its own, because the kernel may share a processor by sessions."""
    number, loop = NUM_HOGS * len(os.sched_getaffinity(0)), [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(loop, start_new_session=True) for _ in range(number)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def run(sandbox: Sandbox, kind: str, body: str, limits: Limits = LIMITS) -> Outcome:
    """Run the same statements as a program and as a function."""
    if kind == "program":
        return sandbox.run_program(f"{WORK}{body}", "", limits)
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return sandbox.run_function(f"{WORK}def f():\n{indented}", "f", [[]], limits)


KINDS = pytest.mark.parametrize("kind", ["program", "function"])


@KINDS
def test_what_counts_is_work_and_sleep(sandbox: Sandbox, kind: str) -> None:
    worked, slept = (run(sandbox, kind, body) for body in ("work(0.6)", "time.sleep(0.6)"))
    assert (worked.status, slept.status) == ("done", "done")
    assert 0.3 < worked.seconds * sandbox.factor < 1.5
    assert 0.5 < slept.seconds * sandbox.factor < 1.5


@KINDS
@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(60)", "while True: time.sleep(0.01)"])
def test_neither_work_nor_sleep_goes_on_for_ever(sandbox: Sandbox, kind: str, body: str) -> None:
    started = time.monotonic()
    assert run(sandbox, kind, body, Limits(seconds=1.0)).status == "limit"
    assert time.monotonic() - started >= sandbox.factor


@pytest.mark.slow
@KINDS
def test_waiting_for_a_processor_does_not_count(sandbox: Sandbox, hogs: None, kind: str) -> None:
    started = time.monotonic()
    outcome = run(sandbox, kind, "work(1.2)")
    passed = time.monotonic() - started
    if "namespaces" not in sandbox.layers:
        pytest.skip("only in a namespace is it known that a program has no helpers")
    if passed < LIMITS.seconds * sandbox.factor:
        pytest.skip("this machine has processors to spare")
    assert outcome.status == "done"


HELPED = {
    "processes": (
        "import os\nfor _ in range(40):\n    if os.fork() == 0:\n        work(1.0)\n        os._exit(0)\n"
        "    work(0.2)\n    os.wait()\n"
    ),
    "threads": (
        "import threading\nthreads = [threading.Thread(target=work, args=(9.0,)) for _ in range(2)]\n"
        "for thread in threads: thread.start()\nfor thread in threads: thread.join()\n"
    ),
    "a helper that left": (
        "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\nwhile True:\n    work(0.1)\n    time.sleep(0.4)\n"
    ),
}


@pytest.mark.parametrize("name", HELPED)
def test_a_program_with_helpers_has_no_more_than_its_time_of_the_clock(sandbox: Sandbox, name: str) -> None:
    started = time.monotonic()
    outcome = run(sandbox, "program", HELPED[name], Limits(seconds=1.0, num_processes=64))
    assert outcome.status == "limit"
    assert time.monotonic() - started < 2 * sandbox.factor + 3.0
