"""Grades programs that read stdin, and functions tested with published values, by the rules of LiveCodeBench.

Two semantics. ``program``, the headline, runs a program as Python runs it: once for each test, with a real stdin.
``public`` reproduces the public runner (commit 28fef95, July 2025) for comparison with published numbers: the program
wrapped into a function, one process for all tests, stand-ins for stdin and stdout, an alarm that a bare ``except``
swallows, functions of ``os`` taken away, and the code between the last two lines with a fence, thought included. So
``for line in sys.stdin``, ``global`` names, ``sys.stdout.buffer`` and ``open(0)`` fail there and pass here. Not
reproduced: a program that reads expected values out of the runner's frames, the unlimited memory, and a patched
``builtins.open``. Both take outputs by one rule (``same_output``), compared outside the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal

from opdbench.graders import running
from opdbench.graders.code_tests import Case, CodeTests, read_tests
from opdbench.graders.extract import code_between_last_fences, final_text, find_code, find_last_code
from opdbench.graders.imports import LIVECODEBENCH, LONG_INTEGERS, with_imports
from opdbench.graders.judgement import MAX_STORED_CODE, Judgement, as_grade, with_layers
from opdbench.records import Grade, Problem, Sample
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import shared_sandbox

RULES = 1
OUTPUT_BYTES = 64 << 20

Semantics = Literal["program", "public"]
_Run = Callable[[Case, Limits], running.Answer]


@dataclass(frozen=True, slots=True)
class ProgramTests:
    """The answer is a program, or a function where the problem names one; it must pass every test.

    ``Problem.target`` has a form that ``code_tests`` reads. Tests run in order, up to the first that fails, each in a
    process of its own under ``semantics="program"``. A problem without tests is ``ungraded``, never passed.

    Attributes:
        timeout_seconds: Time of one test.
        total_seconds: Time of all tests of a sample.
        memory_mb: Memory of one process.
        semantics: How programs run; the module's text says what differs.
    """

    timeout_seconds: int = 6
    total_seconds: float = 300.0
    memory_mb: int = 4096
    semantics: Semantics = "program"
    states_gold: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Name, rule version, semantics and limits. The sandbox's layers are a fact of a machine: grades carry them."""
        limits = f"{self.timeout_seconds}s,{self.total_seconds:g}s,{self.memory_mb}MB"
        return f"program-tests/{RULES}[{self.semantics},{limits}]"

    @property
    def second(self) -> ProgramTests | None:
        """The grader whose score is shown beside this one's: the public runner's semantics."""
        return replace(self, semantics="public") if self.semantics == "program" else None

    def gold(self, problem: Problem) -> str:
        """Return the problem's worked solution, "" where it has none: these benchmarks publish tests alone."""
        return problem.reference or ""

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order, several problems at a time.

        Raises:
            GradingError: the sandbox does not start.
            DataError: a problem's packed tests are damaged or would execute something.
        """
        grader = with_layers(self.id, shared_sandbox().layers)
        judged = running.by_problem(items, self._code, self._judge)
        pairs = zip(items, judged, strict=True)
        return [as_grade(sample, verdict, grader, MAX_STORED_CODE) for (_, sample), verdict in pairs]

    def _code(self, problem: Problem, sample: Sample) -> str | None:
        """Return the program that a completion answers with."""
        if self.semantics == "public":
            return code_between_last_fences(sample.text)
        final = final_text(sample.text)
        entry_point = problem.target.get("fn_name") if isinstance(problem.target, Mapping) else None
        if final is None or not entry_point:
            return None if final is None else find_last_code(final)
        return find_code(final, str(entry_point))

    def _judge(self, problem: Problem, codes: Sequence[str]) -> list[Judgement] | None:
        """Judge programs of one problem, None where it has no tests. These are unpacked here and let go."""
        tests = read_tests(problem.target, problem.id)
        if tests is None:
            return None
        try:
            reasons = [self._failure(code, tests) for code in codes]
        except (TypeError, RecursionError):  # arguments that cannot be sent
            return None
        return [
            Judgement("wrong" if reason else "correct", reason or "tests", code)
            for reason, code in zip(reasons, codes, strict=True)
        ]

    def _failure(self, code: str, tests: CodeTests) -> str | None:
        """Return the reason of the first test that fails, or None."""
        if self.semantics == "public":
            answers = self._publicly(code, tests)
        else:
            answers = self._one_by_one(_run_of(code, tests.entry_point), tests.cases)
        for answer, case in zip(answers, tests.cases, strict=True):
            reason = _reason(answer, case, is_call=tests.entry_point is not None)
            if reason:
                return reason
        return None

    def _limits(self, seconds: float) -> Limits:
        return Limits(seconds=seconds, memory_mb=self.memory_mb, output_bytes=OUTPUT_BYTES)

    def _one_by_one(self, run: _Run, cases: Sequence[Case]) -> Iterator[running.Answer]:
        """Yield the answer to each test, as long as the sample has time left."""
        left = self.total_seconds
        for case in cases:
            answer = run(case, self._limits(min(self.timeout_seconds, left))) if left > 0 else _OUT_OF_TIME
            left -= answer.seconds
            yield answer

    def _publicly(self, code: str, tests: CodeTests) -> Sequence[running.Answer]:
        """Return the answers to all tests by one process, which has the time that the public runner gives it."""
        imports, seconds = LIVECODEBENCH + LONG_INTEGERS, self.timeout_seconds
        if tests.entry_point is None:
            source = running.program("public_program", code, imports, seconds)
        else:
            source = running.program("public_function", code, imports, tests.entry_point, seconds)
        total = min(self.total_seconds, (seconds + 1) * len(tests.cases) + 5)
        calls = [[case.given] if tests.entry_point is None else case.given for case in tests.cases]
        return [running.opened(answer) for answer in running.run_calls(source, calls, self._limits(total))]


_OUT_OF_TIME = running.Answer("total_limit")


def _run_of(code: str, entry_point: str | None) -> _Run:
    """Return what runs a program with one test, in a process of its own."""
    source = with_imports(code, LIVECODEBENCH + LONG_INTEGERS)
    if entry_point is None:
        return lambda case, limits: running.run_program(source, case.given, limits)
    caller = running.program("function_of", source, entry_point)
    return lambda case, limits: running.run_calls(caller, [case.given], limits)[0]


def _reason(answer: running.Answer, case: Case, *, is_call: bool) -> str | None:
    """Return why an answer is wrong, or None."""
    if answer.status != "done":
        return answer.status
    same = same_returned if is_call else same_output
    return None if any(same(wanted, answer.value) for wanted in case.accepted) else "tests"


def same_output(expected: str, actual: Any) -> bool:
    """Compare what programs print: line by line without blanks around, equal as text or as lists of decimals.

    Numbers have no tolerance: ``6.0`` and ``6e0`` are 6, ``5.999999999`` is not.
    """
    if not isinstance(actual, str):
        return False
    wanted = expected.strip().split("\n")
    got = actual.strip().split("\n", len(wanted))  # one line more shows that there are too many
    return len(wanted) == len(got) and all(map(_same_line, wanted, got))


def _same_line(expected: str, actual: str) -> bool:
    wanted, got = expected.strip(), actual.strip()
    return wanted == got or _same_decimals(wanted, got)


def _same_decimals(expected: str, actual: str) -> bool:
    try:
        wanted = [Decimal(item) for item in expected.split()]
        return wanted == [Decimal(item) for item in actual.split(None, len(wanted))]
    except InvalidOperation:
        return False


def same_returned(expected: Any, actual: Any) -> bool:
    """Compare what functions return by Python's own equality; at the top, a tuple may stand for a list."""
    try:
        return bool((list(actual) if isinstance(actual, tuple) else actual) == expected)
    except RecursionError:
        return False
