"""Grades programs: the last block of code that defines the entry point, run in the sandbox against tests."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from opdbench.errors import GradingError
from opdbench.graders.extract import final_text, find_code
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, missing, with_layers
from opdbench.records import Grade, Problem, Sample
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Outcome, shared_sandbox

RULES = 1


@dataclass(frozen=True, slots=True)
class FunctionTests:
    """The answer is a function; it is called with each test's arguments and its values are compared here.

    ``Problem.target`` is ``{"entry_point": str, "tests": [{"args": [...], "expected": ...}, ...]}``, with an optional
    ``float_tolerance``. The sandbox sees arguments, never expected values. ``timeout_seconds`` and ``memory_mb`` are
    for one program with all its tests.
    """

    timeout_seconds: float = 2.0
    memory_mb: int = 512

    @property
    def id(self) -> str:
        """Name, rule version and limits. The sandbox's layers are a fact of a machine: each grade carries them."""
        return f"function-tests/{RULES}[{self.timeout_seconds:g}s,{self.memory_mb}MB]"

    def gold(self, problem: Problem) -> str:
        """Return the problem's worked solution.

        Raises:
            GradingError: the problem has no reference, or one without a block of code.
        """
        if problem.reference is None or find_code(problem.reference, "") is None:
            raise GradingError(
                f"{problem.id}: its reference holds no fenced block of code, so nothing can be validated"
            )
        return problem.reference

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order, several at a time.

        Raises:
            GradingError: the sandbox does not start.
        """
        grader = with_layers(self.id, shared_sandbox().layers)
        programs = [_program(*item) for item in items]
        unique = {(problem.id, code): problem for (problem, _), code in zip(items, programs, strict=True) if code}
        with ThreadPoolExecutor(shared_sandbox().num_servers) as threads:
            found = dict(
                zip(unique, threads.map(self._run, unique.values(), [code for _, code in unique]), strict=True)
            )
        judged = [
            found[problem.id, code] if code else _without_program(problem, sample)
            for (problem, sample), code in zip(items, programs, strict=True)
        ]
        return [as_grade(sample, verdict, grader) for (_, sample), verdict in zip(items, judged, strict=True)]

    def _run(self, problem: Problem, code: str) -> Judgement:
        """Run one program; samples of one problem with the same program share its verdict."""
        entry_point, tests = problem.target["entry_point"], problem.target["tests"]
        limits = Limits(seconds=self.timeout_seconds, memory_mb=self.memory_mb)
        try:
            outcome = shared_sandbox().run_function(code, entry_point, [test["args"] for test in tests], limits)
            reason = _failure(outcome, [test["expected"] for test in tests], problem.target.get("float_tolerance", 0.0))
        except (TypeError, RecursionError):
            return INVALID_PROBLEM
        return Judgement("wrong" if reason else "correct", reason or "tests", code)


def _program(problem: Problem, sample: Sample) -> str | None:
    """Return the program that a completion answers with; None where the problem is invalid or there is none."""
    final = final_text(sample.text) if _is_valid(problem.target) else None
    return None if final is None else find_code(final, problem.target["entry_point"])


def _without_program(problem: Problem, sample: Sample) -> Judgement:
    return missing(sample, "no_code") if _is_valid(problem.target) else INVALID_PROBLEM


def _is_valid(target: Any) -> bool:
    """Say whether a target has an entry point and at least one test."""
    if not isinstance(target, Mapping) or not re.fullmatch(r"[^\W\d]\w*", str(target.get("entry_point", ""))):
        return False
    tests: Any = target.get("tests")
    if not isinstance(tests, Sequence) or not tests:
        return False
    return all(
        isinstance(test, Mapping) and isinstance(test.get("args"), Sequence) and "expected" in test for test in tests
    )


def _failure(outcome: Outcome, expected: Sequence[Any], tolerance: float) -> str | None:
    """Return the reason of the first call that fails, or None when all values are the expected ones."""
    if outcome.status != "done":
        return outcome.status
    for result, wanted in zip(outcome.results, expected, strict=True):
        if result.status != "done":
            return result.status
        if not same_value(wanted, result.value, tolerance):
            return "tests"
    return None


def same_value(expected: Any, actual: Any, tolerance: float = 0.0) -> bool:
    """Compare plain values with exact types: a bool is no integer, an integer no float; a tuple may stand for a list.

    With a declared tolerance (relative and absolute) numbers of both kinds compare as floats.
    """
    kinds = {type(expected), type(actual)}
    if kinds <= {list, tuple}:
        pairs = zip(expected, actual, strict=False)
        return len(expected) == len(actual) and all(same_value(*pair, tolerance) for pair in pairs)
    if tolerance > 0 and kinds <= {int, float}:
        return _close(expected, actual, tolerance)
    if type(expected) is not type(actual):
        return kinds == {set, frozenset} and same_value(set(expected), set(actual))
    if isinstance(expected, set):
        return {(type(item), item) for item in expected} == {(type(item), item) for item in actual}
    if isinstance(expected, dict):
        return _same_mapping(expected, actual, tolerance)
    if isinstance(expected, float) and math.isnan(expected):
        return math.isnan(actual)
    return bool(expected == actual)


def _same_mapping(expected: Mapping[Any, Any], actual: Mapping[Any, Any], tolerance: float) -> bool:
    kinds = {(type(key), key) for key in expected} == {(type(key), key) for key in actual}
    return kinds and all(same_value(value, actual[key], tolerance) for key, value in expected.items())


def _close(expected: float, actual: float, tolerance: float) -> bool:
    try:
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance) or expected == actual
    except OverflowError:
        return expected == actual
