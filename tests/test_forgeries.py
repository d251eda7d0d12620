"""Wrong solutions through the graders of code: what they answer with, print, or are asked with."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from sandbox_forgeries import answering
from sandbox_host import of_programs

from opdbench.graders.code import FunctionTests
from opdbench.graders.evalplus import EvalPlus
from opdbench.graders.evalplus_rules import Rules
from opdbench.graders.imports import with_imports
from opdbench.graders.program import ProgramTests, same_output
from opdbench.records import Problem, Sample
from opdbench.sandbox.runner import shared_sandbox

PLUS = EvalPlus(timeout_seconds=5.0, memory_mb=1024)
REAL = ProgramTests(timeout_seconds=2, total_seconds=8, memory_mb=512)
PUBLIC = ProgramTests(timeout_seconds=2, total_seconds=8, memory_mb=512, semantics="public")


def plus(name: str, solution: str, base: list, more: list, atol: float = 0, dataset: str = "mbpp") -> dict:
    fields = {"dataset": dataset, "number": 32 if name == "find_zero" else 1, "entry_point": name, "prompt": ""}
    return fields | {"canonical_solution": solution, "base_input": base, "plus_input": more, "atol": atol}


THIRD = plus("third", "def third(x):\n    return sum(x) / 3\n", [[[1, 2]]], [[[3, 4, 5]], [[0]]])
HALVES = plus("g", "def g(n):\n    return [n / 2, n / 4]\n", [[1]], [[3]])
EMPTY = plus("g", "def g(n):\n    return [[]]\n", [[1]], [[3]], atol=1e-3)
EQUAL = plus("g", "def g(n):\n    return [[n, n], [n, n]]\n", [[1]], [[3]], atol=1e-3)
ROWS = plus("g", "def g(n):\n    return [(i, j) for i in range(n) for j in range(n)]\n", [[2]], [[200]])
COMMON = plus(
    "similar_elements", "def similar_elements(a, b):\n    return set(a) & set(b)\n", [[[1, 2], [2]]], [[[1], []]]
)
FOUND = plus("check_str", "import re\ndef check_str(s):\n    return re.search('a', s)\n", [["a"], ["b"]], [])
ROOT = plus(
    "find_zero", "def find_zero(xs):\n    return -xs[0] / xs[1]\n", [[[2, 1]]], [], atol=1e-4, dataset="humaneval"
)
SUMS = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}
SHIFT = {"inputs": ["[1, 2]\n3", "[]\n1"], "outputs": ["[4, 5]", "[]"], "fn_name": "shifted"}
HONEST = {
    id(SUMS): "print(sum(map(int, input().split())))",
    id(SHIFT): "def shifted(numbers, k):\n    return [n + k for n in numbers]",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def verdict(grader, target: dict, code: str) -> tuple[str, str]:
    sample = Sample("t", "p", 0, 0, f"```python\n{code}\n```", 1, "stop")
    (graded,) = grader.grade([(Problem("p", "", target), sample)])
    return graded.verdict, graded.reason


def assert_wrong(grader, target: dict, code: str, reason: str | None) -> None:
    """Assert that a solution is wrong, leaves no process, and that an honest one passes after it."""
    found = verdict(grader, target, code)
    assert found[0] == "wrong"
    assert reason in (None, found[1])
    assert not any(of_programs(pid) for pid in shared_sandbox().pids)
    assert verdict(grader, target, HONEST.get(id(target)) or target["canonical_solution"])[0] == "correct"


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        (THIRD, answering("['bool', True]"), "tests"),
        (THIRD, answering("['something', True]"), "tests"),
        (THIRD, answering("['digest', None]"), "tests"),
        (THIRD, answering("[[], 1.0]"), "tests"),
        (THIRD, answering("['value', 1.0, 1.0]"), "tests"),
        (THIRD, answering("['value', {'dict': [['complex', 'nan']]}]"), "tests"),
        (THIRD, "def third(x):\n    total = sum(x)\n    x.clear()\n    return total", "tests"),
        (THIRD, "def third(x): return float('nan')", "tests"),
        (THIRD, "def third(x): return [sum(x) / 3]", "tests"),
        (HALVES, "def g(n): return [[n / 2, n / 4]] * 2", "tests"),
        (HALVES, "def g(n): return (n / 2, n / 4)", "tests"),
        (HALVES, "def g(n): return ['x' * 10**7, n / 4]", "tests"),
        (EMPTY, "def g(n): return [[5.0]]", "tests"),
        (EMPTY, "def g(n): return [5.0]", "tests"),
        (EQUAL, "def g(n): return [[n], [n]]", "tests"),
        (EQUAL, "def g(n): return [n, n]", "tests"),
        (ROWS, "def g(n): return [(i, j) for j in range(n) for i in range(n)]", "tests"),
        (ROWS, "def g(n): return [(i, True if j == 1 else j) for i in range(n) for j in range(n)]", "plus_tests"),
        (ROWS, "import hashlib\nhashlib.sha256 = lambda *a: 1 / 0\ndef g(n): return [(0, 0)] * n * n", "tests"),
        (ROWS, "import marshal\nmarshal.dumps = lambda *a: b''\ndef g(n): return [(0, 1), (1, 0)] * n", "tests"),
        (COMMON, answering("['value', [n * (2**61 - 1) for n in range(300_000)]]"), "tests"),
        (COMMON, "def similar_elements(a, b): return '2'", "tests"),
        (COMMON, "def similar_elements(a, b): return {}", "tests"),
        (FOUND, "def check_str(s): return object()", "tests"),
        (FOUND, "def check_str(s): return None", "tests"),
        (ROOT, "def find_zero(xs): return float('nan')", "tests"),
        (ROOT, "def find_zero(xs): return -10**400", "tests"),
        (ROOT, "def find_zero(xs):\n    xs.clear()\n    return 0", "tests"),
    ],
)  # fmt: skip
def test_answers_to_evalplus(target: dict, code: str, reason: str) -> None:
    assert_wrong(PLUS, target, code, reason)


@pytest.mark.parametrize("grader", [REAL, PUBLIC], ids=["program", "public"])
@pytest.mark.parametrize(
    "code",
    [
        "print(*range(9))",
        "print('3\\n7')",
        "print('\\x003')",
        "print('NaN')",
        "print('sNaN')",
        "print('3e999999999999999999')",
        "print('3' + '0' * 10**6 + 'e-999999')",
        "print('\\ud800')",
        "print('3 ' * 10**6)",
        "print('3\\n' * 10**6)",
        "import os\nfor d in range(1024):\n    try: os.write(d, b'3\\n7\\n')\n    except OSError: pass",
        "import sys\nsys.stdout.getvalue = lambda: type('S', (str,), {'__eq__': lambda *a: True})('3')",
        "import sys\nclass S(str):\n    __eq__ = lambda *a: True\nclass O:\n    write = flush = lambda *a: 1\n"
        "    getvalue = lambda s: S('3')\nsys.stdout = O()\nprint(3)",
    ],
)
def test_what_programs_print(grader: ProgramTests, code: str) -> None:
    assert_wrong(grader, SUMS, code, None)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print(sum(map(int, input().split())), flush=True)\n1 / 0", "exit"),
        ("print(sum(map(int, input().split())), flush=True)\nwhile True: pass", "limit"),
        ("import os\nos.lseek(0, 0, 0)\nos.write(0, b'9')", "exit"),
        ("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint(0)", "tests"),
        ("import os, signal\nos.kill(0, signal.SIGSTOP)", "limit"),
        (
            "import ctypes, os, time\nlibc = ctypes.CDLL(None)\nlibc.unshare(0x30000000)\n"
            "if os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint(0)",
            "tests",
        ),
        (
            "import ctypes, os, time\nlibc, pid = ctypes.CDLL(None), os.fork()\nif pid == 0:\n"
            "    libc.ptrace(0, 0, 0, 0)\n    os.kill(os.getpid(), 19)\nos.waitpid(pid, 2)\ntime.sleep(60)",
            "limit",
        ),
    ],
)
def test_how_programs_end(code: str, reason: str) -> None:
    assert_wrong(REAL, SUMS, code, reason)


@pytest.mark.parametrize("grader", [REAL, PUBLIC], ids=["program", "public"])
@pytest.mark.parametrize(
    "code",
    [
        answering("['value', True]"),
        answering("['correct', [4, 5]]"),
        "class E:\n    __eq__ = lambda *a: True\ndef shifted(n, k): return E()",
        "class E(list):\n    __eq__ = lambda *a: True\ndef shifted(n, k): return E([0])",
        "def shifted(n, k):\n    yield from n",
        "class Solution:\n    def __getattr__(self, name): return lambda *a: [4, 5]",
        "class M(type):\n    def __call__(cls): return cls\n"
        "class Solution(metaclass=M):\n    shifted = staticmethod(lambda *a: 0)",
    ],
)
def test_answers_to_published_tests(grader: ProgramTests, code: str) -> None:
    assert_wrong(grader, SHIFT, code, None)


# --- what reading an answer costs


def test_a_text_among_numbers_takes_no_memory() -> None:
    """NumPy would give every number the room of the longest text: here 400 MB."""
    expected, actual = [0.5] * 1000, ["a" * 100_000, *[0.5] * 999]
    tracemalloc.start()
    assert list(Rules("mbpp", "g", 0).verdicts([[]], [("value", expected)], [("value", actual)])) == [False]
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_more_lines_and_numbers_than_expected_are_not_read() -> None:
    for expected, actual in (("1", "22\n" * 10**6), ("1 1", "22 " * 10**6)):
        tracemalloc.start()
        assert not same_output(expected, actual)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


def test_a_first_line_of_blanks_is_read_once() -> None:
    code = f"from __future__ import {' ' * 100_000}!"
    assert with_imports(code, "import re\n") == f"import re\n\n{code}"


# --- problems that cannot be asked


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("grader", "target"),
    [
        (REAL, {"inputs": [[nested(600)]], "outputs": [1], "fn_name": "f"}),
        (PUBLIC, {"inputs": ["[" * 600 + "]" * 600], "outputs": ["1"], "fn_name": "f"}),
        (REAL, {"inputs": [[object()]], "outputs": [1], "fn_name": "f"}),
        (PLUS, plus("f", "def f(x): return 1\n", [[nested(600)]], [])),
        (PLUS, plus("f", "def f(x): return 1\n", [[1]], []) | {"atol": "none"}),
        (FunctionTests(), {"entry_point": "f", "tests": [{"args": [nested(600)], "expected": 1}]}),
    ],
)
def test_a_problem_that_cannot_be_asked_stops_nothing(grader, target: dict) -> None:
    assert verdict(grader, target, "def f(x): return 1") == ("ungraded", "invalid_problem")


def test_an_expected_value_too_deep_to_compare_stops_nothing() -> None:
    target = {"entry_point": "f", "tests": [{"args": [480], "expected": nested(480)}]}
    code = "def f(n):\n    v = []\n    for _ in range(n): v = [v]\n    return v"
    assert verdict(FunctionTests(), target, code)[0] in ("correct", "ungraded")
