import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sandbox_host import AS_NOBODY, descendants, interpreter_for_everybody, is_alive

from opdbench.errors import GradingError
from opdbench.graders.code import FunctionTests
from opdbench.graders.judgement import marks_of, with_layers
from opdbench.records import Grade
from opdbench.sandbox import layers
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Sandbox, describe
from opdbench.sandbox.server import ALLOW_UNSAFE

ROOMY = Limits(seconds=10.0)
HONEST = "def f(x):\n    return 2 * x\n"
# It leaves its group and its session, and takes back that the kernel ends it with its parent.
DAEMON = (
    "import ctypes, os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
    "        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n        os.fork()\n        time.sleep(60)\n"
    "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nwhile True: time.sleep(1)\n"
)


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setenv(ALLOW_UNSAFE, "1")


def tier(name, **options):
    return Sandbox(num_servers=1, tiers=(name,), **options)


@pytest.mark.parametrize("name", layers.TIERS)
def test_every_tier_runs_functions_and_programs(allowed, name):
    with tier(name) as sandbox:
        try:
            found = sandbox.layers
        except GradingError as error:
            pytest.skip(str(error))
        assert found[: len(layers.TIERS[name])] == layers.TIERS[name]
        assert {"rlimits", "capabilities", "no-new-privileges"} <= set(found)
        assert [result.value for result in sandbox.run_function(HONEST, "f", [[3]], ROOMY).results] == [6]
        for _ in range(2):  # the second one finds an empty folder
            leave = "import os\nprint(os.listdir('.'))\nos.makedirs('a/b')\nos.chmod('a', 0)\nprint(input())"
            assert sandbox.run_program(leave, "5", ROOMY).stdout == b"['main.py']\n5\n"
        assert sandbox.run_program("import colorsys, cmath\nprint(cmath.pi > 3)", "", ROOMY).stdout == b"True\n"


@pytest.mark.parametrize("name", layers.TIERS)
@pytest.mark.parametrize("how", ["server", "guard", "close"])
def test_nothing_outlives_a_server(allowed, name, how):
    script = (
        "import sys, threading, time\nfrom opdbench.sandbox.runner import Sandbox, Limits\n"
        f"box = Sandbox(1, tiers=({name!r},))\nbox.layers\nwork = ({DAEMON!r}, '', Limits(seconds=60.0))\n"
        "threading.Thread(target=box.run_program, args=work, daemon=True).start()\n"
        "print(*box.pids, flush=True)\nsys.stdin.readline()\nbox.close()\n"
        "print('closed', flush=True)\nsys.stdin.read()\n"
    )
    interpreter, user = sys.executable, {}
    if name == "bubblewrap" and os.getuid() == 0:
        interpreter, user = interpreter_for_everybody(), AS_NOBODY
        if interpreter is None:
            pytest.skip("no interpreter that another user may start")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([interpreter, "-B", "-c", script], **pipes, **user) as process:
        line = process.stdout.readline()
        if not line:
            pytest.skip(process.stderr.read().strip().splitlines()[-1])
        (server,) = map(int, line.split())
        deadline = time.monotonic() + 20
        while len(descendants(server)) < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        family = [server, *descendants(server)]
        assert len(family) >= 8
        if how == "close":
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "closed\n"
            assert not [pid for pid in family if is_alive(pid)]
        else:
            os.kill(server if how == "server" else parent_of(server), signal.SIGKILL)
        while any(map(is_alive, family)) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = [pid for pid in family if is_alive(pid)]
        process.kill()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if (name, how) != ("unsafe", "guard"):
        assert not left


@pytest.mark.parametrize("name", layers.TIERS)
@pytest.mark.parametrize("work", ["nothing", "a program"])
def test_nothing_is_left_of_a_parent_that_is_killed(allowed, name, work):
    script = (
        "import sys, threading\nfrom opdbench.sandbox.runner import Sandbox, Limits\n"
        f"box = Sandbox(2, tiers=({name!r},))\nbox.layers\nwork = ({DAEMON!r}, '', Limits(seconds=60.0))\n"
        f"for _ in range({2 if work == 'a program' else 0}):\n"
        "    threading.Thread(target=box.run_program, args=work, daemon=True).start()\n"
        f"while len(box.pids) < {2 if work == 'a program' else 1}: pass\n"
        "print(*box.pids, flush=True)\nsys.stdin.read()\n"
    )
    interpreter, user = sys.executable, {"env": dict(os.environ)}
    if name == "bubblewrap" and os.getuid() == 0:
        interpreter, user = interpreter_for_everybody(), AS_NOBODY
        if interpreter is None:
            pytest.skip("no interpreter that another user may start")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        user = user | {"env": user["env"] | {"TMPDIR": folder}}
        with subprocess.Popen([interpreter, "-B", "-c", script], **pipes, **user) as process:
            line = process.stdout.readline()
            if not line:
                pytest.skip(process.stderr.read().strip().splitlines()[-1])
            servers = [int(pid) for pid in line.split()]
            deadline = time.monotonic() + 30
            while work == "a program" and any(len(descendants(server)) < 7 for server in servers):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            family = [pid for server in servers for pid in (parent_of(server), server, *descendants(server))]
            assert list(Path(folder).iterdir())
            process.kill()
        while (any(map(is_alive, family)) or list(Path(folder).iterdir())) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ([pid for pid in family if is_alive(pid)], list(Path(folder).iterdir())) == ([], [])


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_without_isolation_nothing_is_run(monkeypatch):
    monkeypatch.delenv(ALLOW_UNSAFE, raising=False)
    with tier("unsafe") as sandbox, pytest.raises(GradingError, match="--unsafe-exec") as caught:
        sandbox.run_function(HONEST, "f", [[3]])
    assert "unsafe: not allowed" in str(caught.value)
    monkeypatch.setenv(ALLOW_UNSAFE, "0")
    with tier("unsafe") as sandbox, pytest.raises(GradingError, match="user namespaces"):
        sandbox.run_program("print(1)")


def test_unprotected_runs_mark_their_results(allowed):
    with tier("unsafe") as sandbox:
        unsafe, safe = (
            Grade("t", "p", 0, "correct", "tests", None, with_layers(FunctionTests().id, found))
            for found in (sandbox.layers, ("namespaces", "files", "rlimits"))
        )
    assert marks_of([safe, unsafe]) == ("unsafe-exec",)
    assert marks_of([safe, Grade("t", "p", 0, "wrong", "int", None, "unsafe/1")]) == ()


def test_layers_that_a_machine_lacks_are_named():
    assert layers.absent(()) == ["namespaces", "files", *(name for name, _ in layers.INNER)]
    assert layers.absent(
        ("bubblewrap", "files", "rlimits", "capabilities", "no-new-privileges", "landlock", "system-calls")
    ) == ["user"]
    assert [name for name, is_active in describe() if not is_active] == layers.absent(
        [name for name, is_active in describe() if is_active]
    )
