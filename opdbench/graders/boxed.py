r"""Grades mathematics: the last complete box after the thought, compared with the gold answer.

The rule is strict: a completion without a complete ``\boxed{..}`` has no answer, whatever number it ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.graders.compare import decide_quickly, equivalent
from opdbench.graders.exact import read_number
from opdbench.graders.extract import final_text, find_boxes, lenient_text, without_prompt
from opdbench.graders.gold import Doubt, doubt
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, library_version, missing
from opdbench.graders.normalise import MAX_ANSWER, is_refused, normalise
from opdbench.graders.wording import read_integer, read_pair
from opdbench.graders.workers import Outcome, Pair, shared_pool
from opdbench.records import Grade, Problem, Sample

RULES = 2


def boxed_answer(text: str, prompt: str = "") -> str | None:
    """Return what the last complete box after the thought holds, or None; a repeated ``prompt`` does not count."""
    final = final_text(text)
    return None if final is None else find_boxes(without_prompt(final, prompt)).answer


@dataclass(frozen=True, slots=True)
class BoxedInteger:
    r"""The answer is one integer, for example AIME's 0 to 999; no library decides.

    Accepted are the ways to write an integer (``073``, ``1{,}000``, ``204.0``, ``x=204``, ``90^\circ``,
    ``\text{42}``); a percentage, a list or an expression is not one. ``low`` and ``high`` are the bounds that the
    benchmark itself states.
    """

    low: int | None = None
    high: int | None = None

    @property
    def id(self) -> str:
        """Name, rule version and bounds."""
        bounds = "" if self.low is None and self.high is None else f"[{self.low},{self.high}]"
        return f"boxed-integer/{RULES}{bounds}"

    def gold(self, problem: Problem) -> str:
        """Return a completion that says the gold answer."""
        return rf"The answer is $\boxed{{{problem.target}}}$."

    def lenient(self, text: str) -> str:
        """Return a completion without an answer as one that has one, for the score beside the headline."""
        return lenient_text(text)

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order."""
        grader = self.id
        return [as_grade(sample, self._judge(problem, sample), grader) for problem, sample in items]

    def _judge(self, problem: Problem, sample: Sample) -> Judgement:
        gold = _integer(_target(problem) or "")
        if gold is None or not self._is_allowed(gold):
            return INVALID_PROBLEM
        answer = boxed_answer(sample.text, problem.prompt)
        if answer is None:
            return missing(sample)
        if len(answer) > MAX_ANSWER or is_refused(written := read_integer(answer)):
            return Judgement("wrong", "limit", answer)
        value = _integer(written)
        if value is not None and not self._is_allowed(value):
            return Judgement("wrong", "range", answer)
        is_right = "%" not in written and equivalent(str(gold), written, _undecided)
        return Judgement("correct" if is_right else "wrong", "int", answer)

    def _is_allowed(self, value: int) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class BoxedExpression:
    """The answer is any mathematical expression; exact rules first, then math-verify in a killable process.

    A percentage counts as its number with and without the sign; a decimal of at least six places may round an exact
    value; a list of candidates is not one answer. An answer that is too long, too deep or too large to be worth
    parsing, or that takes longer than the worker's limit, is wrong with reason ``limit``.
    """

    @property
    def id(self) -> str:
        """Name, rule version and the version of math-verify.

        Raises:
            GradingError: math-verify is not installed.
        """
        return f"boxed-expression/{RULES}+math-verify-{library_version('math-verify')}"

    def gold(self, problem: Problem) -> str:
        """Return a completion that says the gold answer."""
        return rf"The answer is $\boxed{{{problem.target}}}$."

    def doubt(self, problem: Problem) -> Doubt | None:
        """Return what is wrong with the writing of the gold answer: that it equals itself says nothing about it."""
        return doubt(_target(problem) or "")

    def lenient(self, text: str) -> str:
        """Return a completion without an answer as one that has one, for the score beside the headline."""
        return lenient_text(text)

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order; what exact rules cannot decide goes to the workers in one batch.

        Raises:
            GradingError: math-verify is not installed or its worker does not start.
        """
        grader = self.id
        judged = [_judge_exactly(problem, sample) for problem, sample in items]
        waiting = [item for item in judged if isinstance(item, _Open)]
        outcomes = iter(shared_pool().compare([item.pair for item in waiting]) if waiting else [])
        final = [item if isinstance(item, Judgement) else item.decide(next(outcomes)) for item in judged]
        return [as_grade(sample, judgement, grader) for (_, sample), judgement in zip(items, final, strict=True)]


@dataclass(frozen=True, slots=True)
class _Open:
    """An answer that exact rules cannot decide about."""

    pair: Pair
    answer: str

    def decide(self, outcome: Outcome) -> Judgement:
        """Return the verdict that follows from a worker's outcome."""
        if outcome == "crash":
            return Judgement("ungraded", "crash", self.answer)
        reason = "limit" if outcome == "limit" else "math-verify"
        return Judgement("correct" if outcome == "same" else "wrong", reason, self.answer)


def _judge_exactly(problem: Problem, sample: Sample) -> Judgement | _Open:
    """Judge what needs no library, and hand back the rest."""
    target = _target(problem)
    if target is None:
        return INVALID_PROBLEM
    answer = boxed_answer(sample.text, problem.prompt)
    if answer is None:
        return missing(sample)
    if answer == target:
        return Judgement("correct", "str", answer)
    if len(answer) > MAX_ANSWER:
        return Judgement("wrong", "limit", answer)
    gold, written = read_pair(target, answer)
    quick = decide_quickly(gold, written)
    if quick is not None:
        return Judgement("correct" if quick[0] else "wrong", quick[1], answer)
    if is_refused(written):
        return Judgement("wrong", "limit", answer)
    return _Open((gold, written), answer)


def _undecided(gold: str, answer: str) -> bool:
    """Stand in for the library: what exact rules cannot read is not an integer."""
    del gold, answer
    return False


def _target(problem: Problem) -> str | None:
    """Return the gold answer as text, or None when the problem has none."""
    target: Any = problem.target
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        return None
    return str(target).strip() or None


def _integer(text: str) -> int | None:
    """Return the integer that an answer writes, or None."""
    number = read_number(normalise(text))
    return int(number.value) if number and number.value.denominator == 1 and not number.is_percent else None
