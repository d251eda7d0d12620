"""Grades functions against the inputs of HumanEval+ and MBPP+, by the rules of evalplus.

What differs from evalplus 0.3.1: expected values never enter the process of the answer (there, reading a caller's frame
or answering with an object that equals everything passes); no sanitizer, which drops decorated functions and takes
minutes for long texts: the last fenced block that defines the function is run as it is, behind the prompt's imports;
``find_zero`` can be solved; libraries outside the standard library are those the sandbox has. Time: evalplus allows
each test 1 s or four times what the canonical solution took, so that a busy machine fails canonical solutions (3 of 378
of MBPP+ with two workers). Here one limit holds for all tests of a run, and has a generous part that is always there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.errors import GradingError
from opdbench.graders import running
from opdbench.graders.evalplus_inputs import COMPLEX, typed_arguments
from opdbench.graders.evalplus_rules import Rules
from opdbench.graders.expected import Expected, ReferenceFailedError, expected_of
from opdbench.graders.extract import final_text, find_code
from opdbench.graders.imports import imports_of, with_imports
from opdbench.graders.judgement import MAX_STORED_CODE, Judgement, as_grade, with_layers
from opdbench.records import Grade, Problem, Sample
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import shared_sandbox

RULES = 2
OUTPUT_BYTES = 128 << 20
REFERENCE_SECONDS = 180.0
_FIELDS = ("dataset", "number", "entry_point", "prompt", "canonical_solution", "base_input", "plus_input", "atol")


@dataclass(frozen=True, slots=True)
class _Run:
    """One process with its calls: the base tests, or the added ones, whose reasons have a prefix."""

    prefix: str
    calls: list[list[Any]]
    expected: Expected


@dataclass(frozen=True, slots=True)
class EvalPlus:
    """The answer is a function that gives what the canonical solution gives, for all inputs.

    ``Problem.target`` holds ``dataset`` (``humaneval`` or ``mbpp``), ``number``, ``entry_point``, ``prompt``,
    ``canonical_solution``, ``base_input``, ``plus_input`` and ``atol``. Where the canonical solution does not run, its
    samples are ``ungraded`` with the reason. A reason that starts with ``plus_`` means that the base tests passed.

    Attributes:
        has_plus: Whether the inputs that evalplus added count, too.
        timeout_seconds: Time of a run, besides what its canonical solution used.
        reference_factor: How many times the canonical solution's time is added to it.
        memory_mb: Memory of one process.
    """

    has_plus: bool = True
    timeout_seconds: float = 10.0
    reference_factor: float = 4.0
    memory_mb: int = 4096

    @property
    def id(self) -> str:
        """Name, rule version, tests and limits. The sandbox's layers are a fact of a machine: grades carry them."""
        tests = "base+plus" if self.has_plus else "base"
        return f"evalplus/{RULES}[{tests},{self.timeout_seconds:g}s+{self.reference_factor:g}x,{self.memory_mb}MB]"

    def gold(self, problem: Problem) -> str:
        """Return the problem's worked solution.

        Raises:
            GradingError: the problem has no reference.
        """
        if problem.reference is None:
            raise GradingError(f"{problem.id}: it has no canonical solution as its reference, so nothing is validated")
        return problem.reference

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order, several problems at a time.

        Raises:
            GradingError: the sandbox does not start, or the cache of expected values is damaged.
        """
        grader = with_layers(self.id, shared_sandbox().layers)
        judged = running.by_problem(items, _code, self._judge)
        pairs = zip(items, judged, strict=True)
        return [as_grade(sample, verdict, grader, MAX_STORED_CODE) for (_, sample), verdict in pairs]

    def _judge(self, problem: Problem, codes: Sequence[str]) -> list[Judgement] | None:
        """Judge programs of one problem, None where it cannot be tested."""
        target = problem.target
        if not _is_valid(target):
            return None
        try:
            rules = Rules(target["dataset"], target["entry_point"], float(target["atol"]))
            runs = self._runs(target, rules) if codes else []
        except ReferenceFailedError as error:
            return [Judgement("ungraded", f"reference_failed:{error}", code) for code in codes]
        except (TypeError, IndexError, AttributeError, ValueError, RecursionError):
            return None
        reasons = [self._failure(target, rules, runs, code) for code in codes]
        return [
            Judgement("wrong" if reason else "correct", reason or "tests", code)
            for reason, code in zip(reasons, codes, strict=True)
        ]

    def _runs(self, target: Mapping[str, Any], rules: Rules) -> list[_Run]:
        source = _source(target, rules, target["prompt"] + target["canonical_solution"])
        runs: list[_Run] = []
        for prefix, name in (("", "base_input"), ("plus_", "plus_input"))[: 2 if self.has_plus else 1]:
            calls = [typed_arguments(target["dataset"], target["number"], given) for given in target[name]]
            runs.append(_Run(prefix, calls, expected_of(source, calls, self._limits(REFERENCE_SECONDS))))
        return runs

    def _failure(self, target: Mapping[str, Any], rules: Rules, runs: Sequence[_Run], code: str) -> str | None:
        """Return the reason of the first test that fails, or None; a run after one that failed is not started."""
        source = _source(target, rules, with_imports(code, imports_of(target["prompt"])))
        for run in runs:
            limits = self._limits(self.timeout_seconds + self.reference_factor * run.expected.seconds)
            answers = running.run_calls(source, run.calls, limits)
            verdicts = rules.verdicts(run.calls, run.expected.answers, [answer.value for answer in answers])
            for answer, is_right in zip(answers, verdicts, strict=True):
                if answer.status != "done" or not is_right:
                    return run.prefix + (answer.status if answer.status != "done" else "tests")
        return None

    def _limits(self, seconds: float) -> Limits:
        return Limits(seconds=seconds, memory_mb=self.memory_mb, output_bytes=OUTPUT_BYTES)


def _source(target: Mapping[str, Any], rules: Rules, code: str) -> str:
    has_complex = target["dataset"] == "mbpp" and target["number"] in COMPLEX
    return running.program("answers_of", code, target["entry_point"], has_complex, rules.only_whether)


def _code(problem: Problem, sample: Sample) -> str | None:
    """Return the program that a completion answers with."""
    final = final_text(sample.text) if _is_valid(problem.target) else None
    return None if final is None else find_code(final, problem.target["entry_point"])


def _is_valid(target: Any) -> bool:
    """Say whether a target has its fields, a name that can be called, and at least one base test."""
    if not isinstance(target, Mapping) or any(name not in target for name in _FIELDS):
        return False
    return bool(re.fullmatch(r"[^\W\d]\w*", str(target["entry_point"])) and target["base_input"])
