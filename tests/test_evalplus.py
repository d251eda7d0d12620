"""Functions against the inputs of HumanEval+ and MBPP+."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mutants import mutants

from opdbench.errors import GradingError
from opdbench.graders import inside
from opdbench.graders.evalplus import EvalPlus
from opdbench.graders.evalplus_inputs import typed_arguments
from opdbench.graders.evalplus_rules import AS_SETS, WHETHER, Rules, is_floats
from opdbench.records import Problem, Sample
from opdbench_tasks import evalplus as tasks

GRADER = EvalPlus(timeout_seconds=2.0, memory_mb=1024)
BASE = replace(GRADER, has_plus=False)
THIRD = {
    "dataset": "humaneval",
    "number": 1,
    "entry_point": "third",
    "prompt": 'from typing import List\n\ndef third(x: List[int]) -> float:\n    """A third of the sum."""\n',
    "canonical_solution": "    return sum(x) / 3\n",
    "base_input": [[[1, 2]]],
    "plus_input": [[[3, 4, 5]], [[0]]],
    "atol": 0,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "opdbench" / "expected"


def fixture(name: str) -> dict[int, dict]:
    """Return the targets of a task's made-up problems by number."""
    rows = (Path(__file__).parent / "fixtures" / "data" / f"{name}.jsonl").read_text().splitlines()
    source = {"humaneval_plus": tasks.HUMANEVAL_PLUS, "mbpp_plus": tasks.MBPP_PLUS}[name].source
    targets = [source.plain(json.loads(row))["answer"] for row in rows]
    return {target["number"]: target for target in targets}


def verdict(target: object, code: str, grader: EvalPlus = GRADER) -> tuple[str, str]:
    problem = Problem("p", "", target)
    (graded,) = grader.grade([(problem, Sample("t", "p", 0, 0, f"```python\n{code}\n```", 1, "stop"))])
    return graded.verdict, graded.reason


# --- verdicts


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def third(x: List[int]): return sum(x) / 3", ("correct", "tests")),
        ("def third(x): return sum(x) / 3 + 1e-8", ("correct", "tests")),
        ("def third(x): return sum(x) / 3 + 1e-4", ("wrong", "tests")),
        ("def third(x): return sum(x) // 3", ("correct", "tests")),
        ("def third(x): return 1", ("wrong", "plus_tests")),
        ("third = lambda x: sum(x) / 3", ("correct", "tests")),
        (
            "from functools import cache\n@cache\ndef g(n): return n / 3\ndef third(x): return g(sum(x))",
            ("correct", "tests"),
        ),
        ("def third(x): return 1 / 0", ("wrong", "crash")),
        ("def third(x): return sum(x) / 3 if len(x) < 3 else 1 / 0", ("wrong", "plus_crash")),
        ("def third(x):\n    while len(x) == 3: pass\n    return sum(x) / 3", ("wrong", "plus_limit")),
        (
            "class Same:\n    def __eq__(self, other): return True\ndef third(x): return Same()",
            ("wrong", "invalid_output"),
        ),
        ("def other(x): return 1", ("wrong", "no_entry_point")),
        ("def third(x) return", ("wrong", "crash")),
    ],
)
def test_verdicts(code: str, wanted: tuple[str, str]) -> None:
    assert verdict(THIRD, code) == wanted


def test_only_base_tests_count_without_plus() -> None:
    assert verdict(THIRD, "def third(x): return 1", BASE) == ("correct", "tests")
    assert BASE.id == "evalplus/2[base,2s+4x,1024MB]"
    assert EvalPlus().id == "evalplus/2[base+plus,10s+4x,4096MB]"


def test_a_zero_of_a_polynomial_is_any_zero() -> None:
    problem = fixture("humaneval_plus")[32]
    right = "import math\ndef find_zero(xs):\n    return {2: -xs[0] / xs[1], 4: 3.0}[len(xs)]"
    assert verdict(problem, right) == ("correct", "tests")
    assert verdict(problem, right.replace("3.0", "2.5"))[1] == "plus_tests"
    assert verdict(problem, right.replace("3.0", "'3'"))[1] == "plus_tests"


def test_arguments_are_typed_and_order_is_free() -> None:
    problem = fixture("mbpp_plus")[2]
    free = "def similar_elements(a, b):\n    assert type(a) is type(b) is tuple\n    return sorted(set(a) & set(b))"
    assert verdict(problem, free) == ("correct", "tests")
    assert verdict(problem, free.replace("&", "|")) == ("wrong", "tests")


def test_complex_arguments_arrive() -> None:
    problem = fixture("mbpp_plus")[124]
    assert (
        verdict(problem, "def modulus(a, b):\n    return ((a + b) * (a + b).conjugate()).real ** 0.5")[0] == "correct"
    )
    assert verdict(problem, "def modulus(a, b):\n    return a + abs(b)") == ("wrong", "tests")


def test_large_values_are_compared_by_digest(cache: Path) -> None:
    problem = fixture("mbpp_plus")[255]
    assert verdict(problem, "def all_pairs(n): return [(i, j) for i in range(n) for j in range(n)]")[0] == "correct"
    assert verdict(problem, "def all_pairs(n): return [(i, j) for j in range(n) for i in range(n)]")[1] == "tests"
    late = "def all_pairs(n): return [(i, j + (i + j == 598)) for i in range(n) for j in range(n)]"
    assert verdict(problem, late) == ("wrong", "plus_tests")
    assert sum(file.stat().st_size for file in cache.iterdir()) < 2000


def test_a_reference_that_fails_or_is_no_problem_is_ungraded(cache: Path) -> None:
    broken = {**THIRD, "canonical_solution": "    return 1 / sum(x)\n"}
    assert verdict(broken, "def third(x): return 1") == ("ungraded", "reference_failed:crash")
    for target in (None, {}, {**THIRD, "entry_point": "a b"}, {**THIRD, "base_input": []}):
        assert verdict(target, "def third(x): return 1") == ("ungraded", "invalid_problem")
    odd = {**THIRD, "dataset": "mbpp", "number": 750, "base_input": [[1]]}
    assert verdict(odd, "def third(x): return 1") == ("ungraded", "invalid_problem")
    with pytest.raises(GradingError, match="no canonical solution"):
        GRADER.gold(Problem("p", "", THIRD))


# --- the cache of expected values


def test_expected_values_are_computed_once_and_privately(cache: Path) -> None:
    right = "def third(x): return sum(x) / 3"
    assert verdict(THIRD, right)[0] == "correct"
    files = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert len(files) == 2
    assert cache.stat().st_mode & 0o077 == 0
    assert verdict(THIRD, right)[0] == "correct"
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == files
    for file in files:
        file.write_text("{}")
    with pytest.raises(GradingError, match=r"\.json: holds no expected values .*; delete it"):
        verdict(THIRD, right)


# --- rules


@pytest.mark.parametrize(
    ("name", "tolerance", "wanted", "got", "same"),
    [
        ("f", 0, 1, True, True),
        ("f", 0, [1, 2], (1, 2), False),
        ("f", 0, 0.3, 0.1 + 0.2, True),
        ("f", 0, [0.3], [0.1 + 0.2], True),
        ("f", 0, [[0.3]], [[0.1 + 0.2]], False),
        ("f", 1e-4, [[0.3]], [[0.30001]], True),
        ("f", 0, 0.3, "0.3", False),
        ("f", 0, [0.3], [0.3, 0.3], False),
        ("f", 0, 1.0, 10**400, False),
        ("f", 0, float("nan"), float("nan"), False),
        ("similar_elements", 0, (1, 2), [2, 1, 1], True),
        ("similar_elements", 0, (1, 2), 3, False),
        ("are_equivalent", 0, True, False, True),
        ("sum_div", 0, 7, 0, True),
        ("sum_div", 0, 7, 1, False),
        ("sum_div", 0, 7, "x", False),
    ],
)
def test_rules(name: str, tolerance: float, wanted: object, got: object, same: bool) -> None:
    rules = Rules("mbpp", name, tolerance)
    assert list(rules.verdicts([[]], [("value", wanted)], [("value", got)])) == [same]


def test_rules_that_depend_on_arguments() -> None:
    surface = Rules("mbpp", "surface_Area", 1e-4)
    assert list(surface.verdicts([[3, 4]], [("value", 33)], [("value", 35)])) == [True]
    assert list(surface.verdicts([[3, 4]], [("value", 33)], [("value", 34)])) == [False]
    distance = Rules("mbpp", "digit_distance_nums", 0)
    assert list(distance.verdicts([[1, 100]], [("value", 5)], [("value", 2)])) == [True]


def test_a_float_that_was_expected_leaves_its_tolerance_behind() -> None:
    expected = [("value", [[0.3]]), ("value", 1.5), ("value", [[0.3]])]
    actual = [("value", [[0.1 + 0.2]]), ("value", 1.5), ("value", [[0.1 + 0.2]])]
    assert list(Rules("mbpp", "f", 0).verdicts([[]] * 3, expected, actual)) == [False, True, True]


def test_values_that_cannot_be_sent_count_as_something() -> None:
    rules = Rules("mbpp", "check_str", 0)
    expected = [("something", True), ("something", False), ("bool", False)]
    for got, wanted in (
        (("something", True), [True, False, True]),
        (("bool", True), [True, False, True]),
        (("bool", False), [False, True, False]),
        (("something", False), [False, True, False]),
        (("value", 1), [False, False, False]),
        (None, [False, False, False]),
    ):
        assert list(rules.verdicts([[]] * 3, expected, [got] * 3)) == wanted
    assert len(WHETHER | AS_SETS) == 11
    assert [is_floats(value) for value in ([1.0], [], [1.0, 1])] == [True, False, False]


def test_complex_numbers_are_sent_in_another_form() -> None:
    value = [1, (2 + 3j, "a"), {"b": 1}]
    sent = inside.sendable(value)
    assert sent == [1, ({"complex": (2.0, 3.0)}, "a"), {"b": 1}]
    assert list(Rules("mbpp", "f", 0).verdicts([[]], [("value", sent)], [("value", sent)])) == [True]
    problem = {**THIRD, "canonical_solution": "    return [sum(x) * 1j]\n"}
    assert verdict(problem, "def third(x): return [complex(0, sum(x))]") == ("correct", "tests")
    assert verdict(problem, "def third(x): return [complex(1, sum(x))]") == ("wrong", "tests")


def test_digests_depend_on_values_alone() -> None:
    first, second = "ab" * 2, "".join(["ab", "ab"])
    assert inside.digest([first, second, first]) == inside.digest([second, second, "abab"])
    assert inside.digest([1, 2]) != inside.digest((1, 2))
    assert inside.digest({3, 1, 2}) == inside.digest({2, 3, 1})
    assert inside.weight([[1] * 50] * 50, 100) > 100
    assert inside.weight({"ab": [1, 2]}, 100) == 9


@pytest.mark.parametrize(
    ("number", "given", "typed"),
    [
        (2, [[1], [2]], [(1,), (2,)]),
        (63, [[[1, 2], [3]]], [[(1, 2), (3,)]]),
        (75, [[[1]], 2], [[(1,)], 2]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1], []]], [[{1}, {}]]),
        (124, ["1", "1j"], [1.0, "1j"]),
        (252, [1], ["1"]),
        (250, [[1], 2], [(1,), 2]),
        (259, [[[1]], [[2]]], [((1,),), ((2,),)]),
        (278, [[1, [2]]], [(1, (2,))]),
        (307, [[1], 2, 3], [(1,), 2, 3]),
        (722, [{"a": [1]}, 2], [{"a": (1,)}, 2]),
        (580, [[[1, [2]]]], [((1, (2,)),)]),
        (3, [[1]], [[1]]),
    ],
)
def test_arguments_of_mbpp(number: int, given: list, typed: list) -> None:
    assert typed_arguments("mbpp", number, given) == typed
    assert typed_arguments("humaneval", number, given) == given


def test_mutants_differ_in_one_place() -> None:
    found = list(mutants("def f(x):\n    return x + 1 < 2"))
    assert "def f(x):\n    return x - 1 < 2" in found
    assert len(found) == len(set(found)) == 7
