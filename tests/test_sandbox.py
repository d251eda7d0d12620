import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_host import descendants, is_alive, of_programs

from opdbench.graders import code as code_grader
from opdbench.graders.code import FunctionTests
from opdbench.records import Problem, Sample
from opdbench.sandbox.calibration import MAX_FACTOR, REFERENCE_SECONDS, loop_seconds, machine_factor
from opdbench.sandbox.layers import NAMES
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Outcome, Sandbox, describe
from opdbench.sandbox.turns import Turns

ROOMY = Limits(seconds=5.0)
HONEST = "def f(x):\n    return 2 * x\n"
TARGET = {"entry_point": "f", "tests": [{"args": [3], "expected": 6}, {"args": [5], "expected": 10}]}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(num_servers=1) as shared:
        yield shared


def values(outcome):
    assert outcome.status == "done"
    return [result.value if result.status == "done" else result.status for result in outcome.results]


def run(sandbox, code, calls=((3,), (5,)), limits=ROOMY):
    return sandbox.run_function(code, "f", calls, limits)


def grade_in(sandbox, monkeypatch, code, target=TARGET, seconds=0.5):
    monkeypatch.setattr(code_grader, "shared_sandbox", lambda: sandbox)
    sample = Sample("t", "p", 0, 0, f"```python\n{code}\n```", 1, "stop")
    (graded,) = FunctionTests(timeout_seconds=seconds).grade([(Problem("p", "", target), sample)])
    return graded.verdict, graded.reason


def test_calls_are_answered_in_order(sandbox):
    assert values(run(sandbox, HONEST)) == [6, 10]
    assert run(sandbox, HONEST, calls=[]) == Outcome("done", ())


def test_layers_are_reported(sandbox):
    assert set(sandbox.layers) <= set(NAMES)
    assert {"rlimits", "no-new-privileges"} <= set(sandbox.layers)
    assert [name for name, active in describe() if active] == list(sandbox.layers)


def test_no_test_is_an_invalid_problem(sandbox, monkeypatch):
    target = {"entry_point": "f", "tests": []}
    assert grade_in(sandbox, monkeypatch, HONEST, target) == ("ungraded", "invalid_problem")


def test_a_program_sees_no_environment_and_leaves_no_file(sandbox, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    seen = (
        "import os\ndef f(x):\n    open('left', 'w').close()\n    os.makedirs('a/b')\n    os.chmod('a', 0)\n"
        "    return [dict(os.environ), os.getcwd()]"
    )
    ((environment, folder),) = values(run(sandbox, seen, calls=[(1,)]))
    assert environment == {}
    assert not Path(folder).exists()


@pytest.mark.slow
def test_deep_folders_are_deleted(sandbox):
    dig = (
        "import os\ndef f(x):\n    where = os.getcwd()\n"
        "    for _ in range(1100):\n        os.mkdir('d')\n        os.chdir('d')\n    return where"
    )
    (folder,) = values(run(sandbox, dig, calls=[(1,)], limits=Limits(seconds=5)))
    assert not Path(folder).exists()


def test_programs_share_nothing(sandbox):
    leave = "import builtins, math\nmath.pi = 3\nbuiltins.sum = lambda x: 7\ndef f(x): return sum([])"
    look = "import math\ndef f(x): return [sum([]), math.pi > 3.1]"
    assert values(run(sandbox, leave, calls=[(1,)])) == [7]
    assert values(run(sandbox, look, calls=[(1,)])) == [[0, True]]


def test_the_same_program_answers_the_same(sandbox):
    chance = "import random\ndef f(x): return [random.random(), list({'a', 'b', 'c', 'd', 'e'}), hash('a')]"
    with Sandbox(num_servers=1) as other:
        assert run(sandbox, chance) == run(sandbox, chance) == run(other, chance)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_root_programs_run_as_nobody(sandbox, tmp_path):
    secret = tmp_path / "gold"
    secret.write_text("42")
    secret.chmod(0o600)
    peek = f"import os\ndef f(x):\n    try: return open({str(secret)!r}).read()\n    except OSError: return os.getuid()"
    assert values(run(sandbox, peek, calls=[(1,)])) == [65534]


def test_no_network_and_no_other_process_where_namespaces_work(sandbox):
    if "namespaces" not in sandbox.layers:
        pytest.skip("this kernel refuses namespaces")
    probe = (
        "import os, socket\ndef lives(pid):\n    try: os.kill(pid, 0)\n    except ProcessLookupError: return False\n"
        "    except PermissionError: pass\n    return pid != os.getpid()\n"
        "def f(x):\n    try:\n"
        "        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\n"
        "    except OSError as error: return [error.errno, os.getppid(), *filter(lives, range(2, 5000))]"
    )
    assert values(run(sandbox, probe, calls=[(1,)])) == [[101, 0]]  # ENETUNREACH: not even a loopback


def test_a_killed_server_is_replaced(sandbox):
    values(run(sandbox, HONEST))
    (server,) = sandbox.pids
    os.kill(server, signal.SIGKILL)
    time.sleep(0.05)
    assert values(run(sandbox, HONEST)) == [6, 10]
    (server,) = sandbox.pids
    threading.Timer(0.2, os.kill, (server, signal.SIGKILL)).start()
    slow = "import time\ndef f(x):\n    time.sleep(0.4)\n    return x"
    assert values(run(sandbox, slow, calls=[(1,)], limits=Limits(seconds=5))) == [1]


def test_a_server_that_hangs_is_replaced(sandbox, monkeypatch):
    from opdbench.sandbox import server as server_module

    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0.2)
    values(run(sandbox, HONEST))
    os.kill(sandbox.pids[0], signal.SIGSTOP)
    assert values(run(sandbox, HONEST, limits=Limits(0.3))) == [6, 10]


def test_several_threads():
    with Sandbox(num_servers=2) as two, ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda n: run(two, HONEST, [(n,)], Limits(5)), range(20)))
        assert [values(outcome) for outcome in outcomes] == [[2 * n] for n in range(20)]
        assert len(two.pids) <= 2


@pytest.mark.slow
def test_a_limit_met_beside_others_is_tried_again_alone():
    loop, brief = "while True: pass", Limits(seconds=1.0)
    with Sandbox(num_servers=2) as two, ThreadPoolExecutor(2) as threads:
        assert run(two, HONEST).status == "done"
        started = time.monotonic()
        both = list(threads.map(lambda _: run(two, loop, limits=brief).status, range(2)))
        assert both == ["limit", "limit"]
        assert time.monotonic() - started > 3 * 1.0  # once beside each other, then one after the other


def test_turns_alone_wait_for_all_others():
    turns, events = Turns(), []

    def work(number):
        with turns.beside_others() as turn:
            events.append(number)
            time.sleep(0.02)
            events.append(number)
        if not turn.was_alone:
            with turns.alone():
                events.append(-1)
                time.sleep(0.01)
                events.append(-1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(8)))
    alone = [place for place, event in enumerate(events) if event == -1]
    assert len(alone) >= 8
    assert all(after == before + 1 for before, after in zip(alone[::2], alone[1::2], strict=True))


def test_time_limits_grow_on_slow_machines_only():
    factors = [machine_factor(REFERENCE_SECONDS * times) for times in (0.1, 1.0, 1.1, 1.9, 100.0)]
    assert factors == [1.0, 1.0, 1.0, 2.0, MAX_FACTOR]
    assert loop_seconds() > 0


def test_the_server_loads_no_other_package(sandbox):
    look = "import sys\ndef f(x): return [sorted(sys.modules), sys.path]"
    ((modules, paths),) = values(run(sandbox, look, calls=[(1,)]))
    assert not {"torch", "numpy", "pytest", "site"} & set(modules)
    assert not [path for path in paths if "site-packages" in path]


def test_functions_hold_nothing_of_the_sandbox(sandbox):
    look = (
        "import os, sys\ndef opens(fd):\n    try: return os.fstat(fd) is not None\n    except OSError: return False\n"
        "def f(x): return [[n for n in sys.modules if 'opdbench' in n], [fd for fd in range(64) if opens(fd)]]"
    )
    assert values(run(sandbox, look, calls=[(1,)])) == [[[], [0, 1, 2, 3]]]


def test_arguments_must_be_plain(sandbox):
    with pytest.raises(TypeError, match="cannot be an answer"):
        run(sandbox, HONEST, calls=[(object(),)])


@pytest.mark.parametrize("end", ["close", "kill"])
def test_nothing_outlives_the_process(end):
    script = (
        "import sys, threading, time\nfrom opdbench.sandbox.runner import shared_sandbox, Limits\n"
        "box = shared_sandbox()\nwork = ('while True: pass', 'f', [], Limits(seconds=3.0))\n"
        "threading.Thread(target=box.run_function, args=work, daemon=True).start()\n"
        "while not box.pids: time.sleep(0.01)\nprint(*box.pids, flush=True)\nsys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        (server,) = [int(pid) for pid in process.stdout.readline().split()]
        while not of_programs(server):
            time.sleep(0.01)
        family = [server, *descendants(server)]
        if end == "kill":
            process.kill()
        process.communicate("\n" if end == "close" else None)
    deadline = time.monotonic() + 20
    while any(map(is_alive, family)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, family))
