import subprocess
import sys
import time

import pytest
import sandbox_battery

from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Outcome, Sandbox

ROOMY = Limits(seconds=20.0, memory_mb=2048)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(num_servers=1) as shared:
        yield shared


def as_cpython(program, stdin, folder):
    file, given = folder / "run" / "main.py", folder / "input"
    file.parent.mkdir()
    file.write_bytes(program.encode("utf-8", "surrogatepass"))
    given.write_text(stdin)
    command = [sys.executable, "-X", "utf8", "-B", str(file)]
    with given.open("rb") as opened:
        run = {"stdin": opened, "capture_output": True, "cwd": file.parent, "env": {"PYTHONHASHSEED": "0"}}
        return subprocess.run(command, timeout=60, check=False, **run)


@pytest.mark.parametrize("name", sandbox_battery.PROGRAMS)
def test_programs_behave_as_in_cpython(sandbox, tmp_path, name):
    program, stdin = sandbox_battery.PROGRAMS[name], sandbox_battery.stdin_of(name)
    expected = as_cpython(program, stdin, tmp_path)
    found = sandbox.run_program(program, stdin, ROOMY)
    assert (found.stdout, found.exit_code) == (expected.stdout, expected.returncode), found.stderr.decode()
    assert found.status == ("done" if expected.returncode >= 0 else "crash")
    assert bool(found.stderr) == bool(expected.stderr)


ENDS = {
    "a loop": ("while True: pass", "limit"),
    "a sleep": ("import time\ntime.sleep(60)", "limit"),
    "a thread without end": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "limit",
    ),
    "endless output": ("while True: print('a' * 1000)", "overflow"),
    "a line of 100 megabytes": ("import sys\nsys.stdout.write('a' * (100 << 20))", "overflow"),
    "too much memory": ("x = bytearray(4 << 30)", "memory"),
    "a loop that ignores errors": (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "limit",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_programs_without_end_are_ended(sandbox, name):
    program, status = ENDS[name]
    limits = Limits(seconds=1.0 if status == "limit" else 20.0, memory_mb=2048)
    found = sandbox.run_program(program, "", limits)
    assert (found.status, len(found.stdout) <= limits.output_bytes + (1 << 16)) == (status, True)
    assert sandbox.run_program("print(input())", "next", ROOMY) == Outcome("done", exit_code=0, stdout=b"next\n")


def test_endless_errors_are_drained_and_their_end_is_kept(sandbox):
    found = sandbox.run_program("import sys\nfor i in range(99999): print(i, file=sys.stderr)\nprint('end')", "", ROOMY)
    assert (found.status, found.stdout) == ("done", b"end\n")
    assert found.stderr.endswith(b"99998\n")
    assert len(found.stderr) == 4096


def test_processes_that_hold_the_output_open_end_with_the_program(sandbox):
    hold = "import os, time\nprint('a', flush=True)\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n"
    started = time.monotonic()
    assert sandbox.run_program(hold, "", ROOMY).stdout == b"a\n"
    assert time.monotonic() - started < 15


def test_input_cannot_be_changed_and_large_input_is_read(sandbox):
    text = "".join(f"{n}\n" for n in range(300_000))
    total = sandbox.run_program("import sys\nprint(sum(map(int, sys.stdin)))", text, ROOMY)
    assert total.stdout == b"44999850000\n"
    assert sandbox.run_program("import os\nos.write(0, b'x')", "a", ROOMY).exit_code == 1


def test_programs_hold_nothing_of_the_sandbox(sandbox):
    look = (
        "import gc, os, sys\n"
        "print([n for n in sys.modules if 'opdbench' in n], sorted(os.listdir('.')), dict(os.environ))\n"
        "def opens(fd):\n    try: return os.fstat(fd) is not None\n    except OSError: return False\n"
        "print([fd for fd in range(64) if opens(fd)])\n"
    )
    assert sandbox.run_program(look, "", ROOMY).stdout == b"[] ['main.py'] {}\n[0, 1, 2]\n"
    assert sandbox.run_program("import os\nprint(os.listdir('.'))", "", ROOMY).stdout == b"['main.py']\n"


# Each would print the expected "42" if its attempt succeeded; as ``python FILE`` none of them does.
ATTACKS = {
    "expected output in a caller's frame": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n    for scope in (frame.f_locals, frame.f_globals):\n"
        "        for name in list(scope):\n            if 'expect' in name or 'job' in name: print(42)\n"
        "    frame = frame.f_back\n"
    ),
    "a standard output that equals everything": (
        "import sys\nclass E(str):\n    def __eq__(self, o): return True\n"
        "sys.stdout.getvalue = lambda: E()\nsys.stdout.read = sys.stdout.getvalue\n"
    ),
    "a status written to every descriptor": (
        "import os\nfor d in range(3, 64):\n    try: os.write(d, bytes(4))\n"
        "    except OSError: continue\n    print(42)\n"
    ),
    "signals to the process above": (
        "import os, signal, time\nabove = os.getppid()\nfor s in (2, 9, 15, 19):\n    for p in {1, above} - {0}:\n"
        "        try: os.kill(p, s)\n        except OSError: pass\ntime.sleep(0.1)\n"
        "print(42 if os.getppid() != above else 'still there')\n"
    ),
    "tracing the process above": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "print(42 if libc.ptrace(16, os.getppid(), 0, 0) == 0 else 'refused')\n"
    ),
    "memory of the process above": (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nbuffer = ctypes.create_string_buffer(8)\n"
        "class V(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]\n"
        "own, far = V(ctypes.addressof(buffer), 8), V(id(None), 8)\n"
        "read = libc.process_vm_readv(os.getppid(), ctypes.byref(own), 1, ctypes.byref(far), 1, 0)\n"
        "print(42 if read > 0 else 'refused')\n"
    ),
    "descriptors of the process above": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nhandle = os.pidfd_open(os.getppid())\n"
        "print(42 if any(libc.syscall(438, handle, d, 0) >= 0 for d in range(64)) else 'refused')\n"
    ),
    "objects found by the collector": (
        "import gc\nfor o in gc.get_objects():\n    if type(o) is dict and 'expected' in o: print(42)\n"
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_programs_cannot_reach_what_runs_them(sandbox, name):
    if "files" not in sandbox.layers:
        pytest.skip("attacks are run where the layers hold")
    found = sandbox.run_program(ATTACKS[name], "", ROOMY)
    assert found.status == "done"
    assert b"42" not in found.stdout
    assert sandbox.run_program("print(input())", "next", ROOMY).stdout == b"next\n"
