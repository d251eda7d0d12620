"""What a program has left for the next one: in memory, or beside its folder."""

from __future__ import annotations

import os
import subprocess

import pytest
from sandbox_forgeries import READS_MEMORY
from sandbox_host import AS_NOBODY, interpreter_for_everybody

from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Sandbox

ROOMY = Limits(seconds=20.0)
NOTE = "# left-behind-1 " * 200
LEAVES = f"def f(x): return f'left-behind-{{x}}'\n{NOTE}"
IN_FRAMES = """
import sys
def f(x):
    frame, found = sys._getframe(), []
    while frame:
        found += [one.sent for one in frame.f_locals.values() if getattr(one, "sent", b"")]
        frame = frame.f_back
    return found
"""


@pytest.mark.parametrize("code", [IN_FRAMES, READS_MEMORY], ids=["frames", "memory"])
def test_a_function_finds_nothing_of_the_program_before(code: str) -> None:
    with Sandbox(num_servers=1) as sandbox:
        sandbox.run_function(LEAVES, "f", [[2]])
        (found,) = sandbox.run_function(code, "f", [[0]], ROOMY).results
        assert (found.status, found.value) == ("done", [])


def test_a_program_finds_nothing_of_the_program_before() -> None:
    with Sandbox(num_servers=1) as sandbox:
        sandbox.run_program(f"print(f'left-behind-{{input()}}')\n{NOTE}", "2")
        assert sandbox.run_program(f"{READS_MEMORY}print(f(0))", "", ROOMY).stdout == b"[]\n"


WITHOUT_LANDLOCK = """
import ctypes
from opdbench.sandbox import calls, kernel
from opdbench.sandbox.runner import Sandbox
absent = [part for call in (444, 445, 446) for part in (calls._step(calls._EQUAL, call, 0, 1), calls._end(0x50026))]
program = b"".join([calls._load(0), *absent, calls._end(calls._ALLOW)])
kernel.refuse_new_privileges()
wanted = calls._Filter(len(program) // 8, program)
number = calls._MACHINES[kernel._MACHINE].seccomp
kernel.system_call("seccomp", number, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.byref(wanted))
with Sandbox(1, ("namespaces",)) as sandbox:
    for _ in range(2):
        found = sandbox.run_program("import os\\nprint(os.path.exists('/box/left'))\\nos.mkdir('/box/left')")
    print("landlock" in sandbox.layers, found.stdout.decode(), found.exit_code)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_nothing_is_left_beside_the_folder_where_no_landlock_is() -> None:
    interpreter = interpreter_for_everybody()
    if interpreter is None:
        pytest.skip("no interpreter of 3.11 or later that another user may start")
    command = [interpreter, "-B", "-c", WITHOUT_LANDLOCK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **AS_NOBODY)
    if "PermissionError" in done.stderr or "GradingError" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout.split() == ["False", "False", "0"]
