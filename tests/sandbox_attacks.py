"""Wrong solutions that try to pass, to escape or to harm. Each must end as a wrong answer with its reason.

``python tests/sandbox_attacks.py TIER`` runs them all, so that a user without privileges can do it without pytest.
"""

import json
import os
import sys

import sandbox_escapes
from sandbox_forgeries import FUNCTIONS
from sandbox_host import of_programs, parent_state, targets

from opdbench.graders.code import _failure
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Sandbox

HONEST = "def f(x):\n    return 2 * x\n"
CALLS, EXPECTED = [[3], [5]], [6, 10]
SLOW = Limits(seconds=10.0)
SHORT = Limits(seconds=0.5)
FORGED = "import os, struct\nbody = {}\nos.write(3, struct.pack('>I', len(body)) + body)\nos._exit(0)"
FILL = (
    "def f(x):\n    for n in range(8):\n"
    "        with open(f'{}/{{n}}', 'wb') as file: file.write(b'a' * (15 << 20))\n    return 2 * x"
)
EQUAL = "    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n    __hash__ = None\n"

CHEATS = {
    "equal to everything": (f"class E:\n{EQUAL}def f(x): return E()", "invalid_output"),
    "an integer that is equal to everything": (f"class E(int):\n{EQUAL}def f(x): return E(0)", "invalid_output"),
    "a string that is equal to everything": (f"class E(str):\n{EQUAL}def f(x): return E()", "invalid_output"),
    "a list that is equal to everything": (
        f"class E(list):\n{EQUAL}    def __iter__(self): return iter([6])\ndef f(x): return E()",
        "tests",
    ),
    "a value with another class": (
        "class E:\n    __class__ = int\n    def __int__(self): return 6\n    __index__ = __int__\ndef f(x): return E()",
        "invalid_output",
    ),
    "a bool for an integer": ("def f(x): return x == 3 or 10", "tests"),
    "a float for an integer": ("def f(x): return 2.0 * x", "tests"),
    "not a number": ("def f(x): return float('nan')", "tests"),
    "infinity": ("def f(x): return float('inf')", "tests"),
    "lone surrogates": ("def f(x): return '\\ud800'", "tests"),
    "a huge integer": ("def f(x): return 10 ** 100000", "tests"),
    "a value that holds itself": ("def f(x):\n    v = []\n    v.append(v)\n    return v", "invalid_output"),
    "expected values in a caller's frame": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for scope in (frame.f_locals, frame.f_globals):\n            for name, value in list(scope.items()):\n"
        "                if 'expect' in name or 'gold' in name or 'verdict' in name: return value\n"
        "        frame = frame.f_back",
        "tests",
    ),
    "the verdict written through frames": (
        "import ctypes, sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for name in ('status', 'stat', 'details', 'verdict', 'passed', 'result'):\n"
        "            frame.f_globals[name] = frame.f_locals[name] = True\n"
        "            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))\n"
        "        frame = frame.f_back",
        "tests",
    ),
    "objects found by the collector": (
        "import gc\ndef f(x):\n    for o in gc.get_objects():\n"
        "        if type(o) is dict and 'expected' in o: return o['expected']",
        "tests",
    ),
    "unittest patched": (
        "import unittest\nunittest.TestCase.assertEqual = lambda *a, **k: None\n"
        "unittest.TestResult.addFailure = lambda *a: None\ndef f(x): return 0",
        "tests",
    ),
    "_exit at import": ("import os\nos._exit(0)", "crash"),
    "_exit in a call": ("import os\ndef f(x): os._exit(0)", "crash"),
    "_exit in a thread": (
        "import os, threading\ndef f(x):\n    t = threading.Thread(target=os._exit, args=(0,))\n"
        "    t.start(); t.join()",
        "crash",
    ),
    "exit at import": ("import sys\nsys.exit(0)", "crash"),
    "exit in a call": ("import sys\ndef f(x): sys.exit(0)", "crash"),
    "exit at exit": ("import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit", "crash"),
    "exit in a hook": (
        "import os, sys\nsys.excepthook = lambda *a: os._exit(0)\nsys.unraisablehook = sys.excepthook\n"
        "def f(x): raise ValueError",
        "crash",
    ),
    "exit in a trace": ("import os, sys\ndef f(x):\n    sys.settrace(lambda *a: os._exit(0))\n    g()", "crash"),
    "exit in an audit hook": ("import os, sys\nsys.addaudithook(lambda *a: os._exit(0))\ndef f(x): open('a')", "crash"),
    "exit when deleted": ("import os\nclass D:\n    def __del__(self): os._exit(0)\ndef f(x): D()", "crash"),
    "a forged verdict on standard output": (
        "def f(x): print('{\"results\": [[\"value\", 6], [\"value\", 10]]}')",
        "tests",
    ),
    "a forged verdict of success": (FORGED.format("b'{\"status\": \"correct\"}'"), "invalid_output"),
    "zero results": (FORGED.format("b'{\"results\": []}'"), "invalid_output"),
    "too many results": (
        FORGED.format('b\'{"results": [["value", 6], ["value", 10], ["value", 0]]}\''),
        "invalid_output",
    ),
    "a forged frame": (
        "import os\nfor d in range(3, 60):\n    try: os.write(d, b'\\0\\0\\0\\x04[[[[')\n    except OSError: pass",
        "invalid_output",
    ),
    "a deep forged frame": (FORGED.format("b'[' * 100000"), "invalid_output"),
    "an endless frame": (
        "import os\nos.write(3, b'\\xff\\xff\\xff\\xff')\nwhile True: os.write(3, b'a' * 65536)",
        "invalid_output",
    ),
    "closed descriptors": ("import os\nos.closerange(0, 100)\ndef f(x): return 6", "crash"),
    "json patched": ("import json\njson.dumps = lambda *a, **k: 'x'\ndef f(x): return 6", "invalid_output"),
    "built-in names patched": (
        "import builtins, math\nbuiltins.type = lambda o: int\nbuiltins.isinstance = lambda *a: True\n"
        "math.isclose = lambda *a, **k: True\ndef f(x): return 'six'",
        None,
    ),
    "modules shadowed": (
        "import sys\nfor name in ('json', 'sitecustomize', 'opdbench', 'math'):\n"
        "    open(name + '.py', 'w').write('import os; os._exit(0)')\n"
        "sys.path.insert(0, '.')\nsys.modules.pop('json', None)\nimport json\ndef f(x): return 2 * x",
        "crash",
    ),
    "an import hook": (
        "import sys\nclass H:\n    def find_spec(self, *a): raise SystemExit\n"
        "sys.meta_path.insert(0, H())\ndef f(x): import colorsys",
        "crash",
    ),
    "a null byte": ("x = '\0'", "crash"),
    "a syntax error": ("def f(x) return x", "crash"),
    "another name": ("def g(x): return x", "no_entry_point"),
    "a name that is no function": ("f = 3", "no_entry_point"),
}  # fmt: skip

BOMBS = {
    "a loop at import": ("while True: pass", "limit"),
    "a loop in a call": ("def f(x):\n    while True: pass", "limit"),
    "a sleep": ("import time\ndef f(x): time.sleep(60)", "limit"),
    "signals and errors swallowed": (
        "import signal\nfor s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        "limit",
    ),
    "a stopped process": (
        "import os, signal\nwhile True:\n    os.kill(os.getpid(), signal.SIGSTOP)\n    os.kill(0, signal.SIGSTOP)",
        "limit",
    ),
    "ten megabytes of output": ("def f(x): print('a' * 10**7)", "tests"),
    "ten megabytes of errors": ("import sys\ndef f(x): sys.stderr.write('a' * 10**7)", "tests"),
    "endless output": ("def f(x):\n    while True: print('a' * 4096)", "limit"),
    "a result of ten megabytes": ("def f(x): return 'a' * (10 << 20)", "invalid_output"),
    "deep recursion": ("def f(x): return f(x)", "crash"),
    "too much memory": ("def f(x): return len(bytearray(1 << 30))", "limit"),
    "too much mapped memory": ("import mmap\ndef f(x): return len(mmap.mmap(-1, 1 << 30))", "crash"),
    "too large a file": (
        "def f(x):\n    with open('big', 'wb') as file:\n        for _ in range(64): file.write(b'a' * (1 << 20))\n"
        "    return 2 * x",
        "crash",
    ),
    "a full disk": (FILL.format("/tmp"), "crash"),
    "full shared memory": (FILL.format("/dev/shm"), "crash"),
    "many small files": ("def f(x):\n    for n in range(6000): open(str(n), 'w').close()\n    return 2 * x", "crash"),
    "many threads": (
        "import threading, time\ndef f(x):\n"
        "    for _ in range(200): threading.Thread(target=time.sleep, args=(9,)).start()\n    return 2 * x",
        "crash",
    ),
    "many processes": (
        "import os, time\ndef f(x):\n    for _ in range(200):\n        if os.fork() == 0: time.sleep(9)\n"
        "    return 2 * x",
        "crash",
    ),
    "many zombies": ("import os\ndef f(x):\n    for _ in range(200):\n        if not os.fork(): os._exit(0)", "crash"),
    "a daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)\n"
        "def f(x): return 6",
        "tests",
    ),
}  # fmt: skip

NEEDS = {"files", "rlimits", "capabilities", "no-new-privileges", "system-calls"}
"""An attack is run only where the layers that must stop it have been seen to hold."""


def corpus(host):
    """Return every attack by name: its program and the reason of its verdict, None where several are right."""
    return {
        **CHEATS,
        **FUNCTIONS,
        **BOMBS,
        **{name: (program, "tests") for name, program in sandbox_escapes.programs(host).items()},
    }


def verdict(sandbox, program, limits=SLOW):
    """Return why a solution is wrong, or None when it is right."""
    return _failure(sandbox.run_function(program, "f", CALLS, limits), EXPECTED, 0.0)


def assert_stopped(sandbox, program, reason):
    """Run an attack, and assert that it is wrong, leaves nothing, and that an honest solution still passes."""
    before = parent_state()
    for _ in range(2 if reason == "tests" else 1):  # the second one looks for what the first has left
        found = verdict(sandbox, program, SHORT if reason == "limit" and "bytearray" not in program else SLOW)
        assert found is not None, "an attack was graded as correct"
        assert reason in (None, found), f"{found} instead of {reason}"
    assert not any(of_programs(pid) for pid in sandbox.pids)
    left = sandbox.run_function("import os\ndef f(x): return os.listdir('.') + os.listdir('/tmp')", "f", [[0]], SLOW)
    if "files" in sandbox.layers:
        assert left.results[0].value == []
    assert verdict(sandbox, HONEST) is None
    assert parent_state() == before


def main():
    """Run every attack in a tier and print what failed, as JSON."""
    failed, tier = {}, sys.argv[1]
    with targets() as host, Sandbox(num_servers=1, tiers=(tier,)) as sandbox:
        assert set(sandbox.layers) >= NEEDS
        verdict(sandbox, HONEST)
        attacks = corpus(host)
        if tier == "bubblewrap":
            del attacks["many small files"]  # it bounds bytes only
        for name, (program, reason) in attacks.items():
            try:
                assert_stopped(sandbox, program, reason)
            except AssertionError as error:
                failed[name] = str(error)
        layers = sandbox.layers
    print(json.dumps({"user": os.getuid(), "layers": layers, "num_attacks": len(attacks), "failed": failed}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
