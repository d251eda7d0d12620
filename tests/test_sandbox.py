import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opdbench.graders import code as code_grader
from opdbench.graders.code import FunctionTests
from opdbench.records import Problem, Sample
from opdbench.sandbox import runner
from opdbench.sandbox.layers import NAMES
from opdbench.sandbox.protocol import Limits, decode, encode, pack, unpack
from opdbench.sandbox.runner import Outcome, Sandbox, describe

ROOMY = Limits(wall_seconds=5.0)
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


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


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


ATTACKS = {
    "equal to everything": ("class E:\n    def __eq__(self, o): return True\ndef f(x): return E()", "invalid_output"),
    "an integer that is equal to everything": (
        "class E(int):\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(x): return E(0)",
        "invalid_output",
    ),
    "a list that is equal to everything": (
        "class E(list):\n    def __eq__(self, o): return True\n    def __iter__(self): return iter([6])\n"
        "def f(x): return E()",
        "tests",
    ),
    "a bool for an integer": ("def f(x): return x == 3 or 10", "tests"),
    "expected values in a caller's frame": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n"
        "    while frame:\n        for name, value in list(frame.f_locals.items()):\n"
        "            if 'expect' in name or 'verdict' in name: return value\n        frame = frame.f_back",
        "tests",
    ),
    "_exit at import": ("import os\nos._exit(0)", "crash"),
    "_exit in a call": ("import os\ndef f(x): os._exit(0)", "crash"),
    "exit at import": ("import sys\nsys.exit(0)", "crash"),
    "exit in a call": ("import sys\ndef f(x): sys.exit(0)", "crash"),
    "exit at exit": ("import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit", "crash"),
    "a loop at import": ("while True: pass", "limit"),
    "a loop in a call": ("def f(x):\n    while True: pass", "limit"),
    "a sleep": ("import time\ndef f(x): time.sleep(60)", "limit"),
    "a loop that swallows everything": (
        "import signal\nfor s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        "limit",
    ),
    "a stopped process": (
        "import os, signal\nwhile True:\n    os.kill(os.getpid(), signal.SIGSTOP)\n    os.kill(0, signal.SIGSTOP)",
        "limit",
    ),
    "a forged verdict on standard output": (
        "def f(x): print('{\"results\": [[\"value\", 6], [\"value\", 10]]}')",
        "tests",
    ),
    "ten megabytes of output": ("def f(x): print('a' * 10**7)", "tests"),
    "ten megabytes of errors": ("import sys\ndef f(x): sys.stderr.write('a' * 10**7)", "tests"),
    "a result of ten megabytes": ("def f(x): return 'a' * (10 << 20)", "invalid_output"),
    "json patched": ("import json\njson.dumps = lambda *a, **k: 'x'\ndef f(x): return 6", "invalid_output"),
    "zero results": (
        "import os, struct\nbody = b'{\"results\": []}'\nos.write(3, struct.pack('>I', len(body)) + body)\nos._exit(0)",
        "invalid_output",
    ),
    "too many results": (
        "import os, struct\nbody = b'{\"results\": [[\"value\", 6], [\"value\", 10], [\"value\", 0]]}'\n"
        "os.write(3, struct.pack('>I', len(body)) + body)\nos._exit(0)",
        "invalid_output",
    ),
    "a forged frame": (
        "import os\nfor d in range(3, 60):\n    try: os.write(d, b'\\0\\0\\0\\x04[[[[')\n    except OSError: pass",
        "invalid_output",
    ),
    "a deep forged frame": (
        "import os, struct\nbody = b'[' * 100000\nos.write(3, struct.pack('>I', len(body)) + body)\nos._exit(0)",
        "invalid_output",
    ),
    "an endless frame": (
        "import os\nos.write(3, b'\\xff\\xff\\xff\\xff')\nwhile True: os.write(3, b'a' * 65536)",
        "invalid_output",
    ),
    "closed descriptors": ("import os\nos.closerange(0, 100)\ndef f(x): return 6", "crash"),
    "a value that holds itself": ("def f(x):\n    v = []\n    v.append(v)\n    return v", "invalid_output"),
    "deep recursion": ("def f(x): return f(x)", "crash"),
    "not a number": ("def f(x): return float('nan')", "tests"),
    "lone surrogates": ("def f(x): return '\\ud800'", "tests"),
    "too much memory": ("def f(x): return len(bytearray(1 << 30))", "limit"),
    "too large a file": (
        "def f(x):\n    with open('big', 'wb') as file:\n        while True: file.write(b'a' * (1 << 20))",
        "crash",
    ),
    "many threads": (
        "import threading, time\ndef f(x):\n"
        "    for _ in range(500): threading.Thread(target=time.sleep, args=(9,)).start()",
        "crash",
    ),
    "many processes": ("import os\ndef f(x):\n    for _ in range(500): os.fork()", "crash"),
    "a daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)\n"
        "def f(x): return 6",
        "tests",
    ),
    "daemons that outlive their parents": (
        "import ctypes, os, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nfor _ in range(5):\n"
        "    if os.fork() == 0:\n        os.setsid()\n        time.sleep(60)\ndef f(x): return 6",
        "tests",
    ),
    "killing everything": (
        "import os\ndef f(x):\n    os.kill(-1, 9)\n    os.kill(os.getppid(), 9)\n    return 6",
        None,
    ),
    "a null byte": ("x = '\0'", "crash"),
    "a syntax error": ("def f(x) return x", "crash"),
    "another name": ("def g(x): return x", "no_entry_point"),
    "a name that is no function": ("f = 3", "no_entry_point"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_wrong_answers(sandbox, monkeypatch, name):
    program, reason = ATTACKS[name]
    verdict = grade_in(sandbox, monkeypatch, program, seconds=0.5 if reason in ("limit", None) else 5.0)
    assert verdict[0] == "wrong"
    assert reason is None or verdict[1] == reason
    assert [descendants(pid) for pid in sandbox.pids] == [[]]
    assert grade_in(sandbox, monkeypatch, HONEST, seconds=5.0) == ("correct", "tests")


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
    (folder,) = values(run(sandbox, dig, calls=[(1,)], limits=Limits(wall_seconds=5)))
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
        "import os, socket\ndef f(x):\n    try:\n        socket.create_connection(('127.0.0.1', 9), 1)\n"
        "    except OSError as error: return [error.errno, os.getpid()]"
    )
    assert values(run(sandbox, probe, calls=[(1,)])) == [[101, 1]]  # ENETUNREACH: not even a loopback


def test_a_killed_server_is_replaced(sandbox):
    values(run(sandbox, HONEST))
    (server,) = sandbox.pids
    os.kill(server, signal.SIGKILL)
    time.sleep(0.05)
    assert values(run(sandbox, HONEST)) == [6, 10]
    (server,) = sandbox.pids
    threading.Timer(0.2, os.kill, (server, signal.SIGKILL)).start()
    slow = "import time\ndef f(x):\n    time.sleep(0.4)\n    return x"
    assert values(run(sandbox, slow, calls=[(1,)], limits=Limits(wall_seconds=5))) == [1]


def test_a_server_that_hangs_is_replaced(sandbox, monkeypatch):
    from opdbench.sandbox import server as server_module

    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0.2)
    values(run(sandbox, HONEST))
    os.kill(sandbox.pids[0], signal.SIGSTOP)
    assert values(run(sandbox, HONEST)) == [6, 10]


def test_several_threads():
    with Sandbox(num_servers=2) as two, ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda n: run(two, HONEST, [(n,)], Limits(5)), range(20)))
        assert [values(outcome) for outcome in outcomes] == [[2 * n] for n in range(20)]
        assert len(two.pids) <= 2


@pytest.mark.parametrize("end", ["close", "kill"])
def test_nothing_outlives_the_process(end):
    script = (
        "import sys, threading, time\nfrom opdbench.sandbox.runner import shared_sandbox, Limits\n"
        "box = shared_sandbox()\nwork = ('while True: pass', 'f', [], Limits(wall_seconds=3.0))\n"
        "threading.Thread(target=box.run_function, args=work, daemon=True).start()\n"
        "while not box.pids: time.sleep(0.01)\nprint(*box.pids, flush=True)\nsys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        (server,) = [int(pid) for pid in process.stdout.readline().split()]
        while not descendants(server):
            time.sleep(0.01)
        family = [server, *descendants(server)]
        if end == "kill":
            process.kill()
        process.communicate("\n" if end == "close" else None)
    deadline = time.monotonic() + 20
    while any(map(is_alive, family)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, family))


def test_the_server_loads_no_other_package(sandbox):
    look = "import sys\ndef f(x): return [sorted(sys.modules), sys.path]"
    ((modules, paths),) = values(run(sandbox, look, calls=[(1,)]))
    assert not {"torch", "numpy", "pytest", "site"} & set(modules)
    assert not [path for path in paths if "site-packages" in path]


def test_arguments_must_be_plain(sandbox):
    with pytest.raises(TypeError, match="cannot be an answer"):
        run(sandbox, HONEST, calls=[(object(),)])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(PLAIN)
def test_values_survive_the_protocol(value):
    again = decode(unpack(pack(encode(value))))
    assert again == value
    assert type(again) is type(value)
    assert decode(json.loads(json.dumps(encode({1, 2})))) == {1, 2}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 3))
def test_any_bytes_are_read_as_an_outcome(body, calls):
    frame = len(body).to_bytes(4, "big") + body
    assert runner._read_outcome("done", frame, calls).status in ("done", "invalid_output", "crash", "limit")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "failed", "int", "tuple", "dict", "set", "bytes", "a"]), inner, max_size=2
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_json_is_read_as_an_outcome(message):
    for forged in (message, {"results": message}, {"results": [["value", message]]}, {"failed": message}):
        runner._read_outcome("done", pack(forged), 1)
