r"""Grades multiple choice: one option letter in the last box, or after the last "Answer:"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from opdbench.graders.boxed import boxed_answer
from opdbench.graders.extract import final_text
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, missing
from opdbench.graders.normalise import MAX_ANSWER, normalise
from opdbench.records import Grade, Problem, Sample

RULES = 1

_ANSWER = re.compile(r"(?i)\banswer\b(?:\s+is\b\s*:?|\s*[:=])\s*([^\n]{1,200})")
_COMMAND = re.compile(r"\\[A-Za-z]+\s*")
_ARTICLE = re.compile(r"\bA(?= (?!or\b|and\b)[a-z]{2,})")


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer is one letter of ``letters``; the options are the row's, not always four.

    A box decides before "Answer: X", the last one before earlier ones, and an answer that names more than one option
    is wrong.
    """

    letters: str = "ABCD"

    @property
    def id(self) -> str:
        """Name, rule version and letters."""
        return f"choice/{RULES}[{self.letters}]"

    def gold(self, problem: Problem) -> str:
        """Return a completion that says the gold answer."""
        return rf"Answer: $\boxed{{{problem.target}}}$"

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order."""
        grader = self.id
        return [as_grade(sample, self._judge(problem, sample), grader) for problem, sample in items]

    def _judge(self, problem: Problem, sample: Sample) -> Judgement:
        if not isinstance(problem.target, str) or len(problem.target) != 1 or problem.target not in self.letters:
            return INVALID_PROBLEM
        answer = stated_answer(sample.text)
        if answer is None:
            return missing(sample)
        options = self._options(answer[:MAX_ANSWER])
        if len(options) > 1:
            return Judgement("wrong", "many_options", answer)
        if not options:
            return Judgement("wrong", "no_option", answer)
        return Judgement("correct" if options == {problem.target} else "wrong", "option", answer)

    def _options(self, answer: str) -> set[str]:
        """Return the distinct options that an answer names.

        The answer must begin with an option; letters in its description count too, except the article.
        """
        text = _COMMAND.sub(" ", normalise(answer)).translate(str.maketrans("{}*_`'\"[]", " " * 9)).strip()
        text = re.sub(r"(?i)^(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\b\s*(?:is\b)?\s*:?\s*", "", text)
        letter = rf"[{re.escape(self.letters)}]"
        first = re.match(rf"\(?\s*({letter})(?![A-Za-z0-9])", text)
        if not first or (_ARTICLE.match(text) and len(text) > 1):
            return set()
        rest = _ARTICLE.sub("", text[first.end() :])
        return {first[1], *re.findall(rf"(?<![A-Za-z0-9])({letter})(?![A-Za-z0-9'])", rest)}


def stated_answer(text: str) -> str | None:
    """Return the last box after the thought, else what follows the last "Answer:", else None."""
    final = final_text(text)
    if final is None:
        return None
    boxed = boxed_answer(final)
    if boxed is not None:
        return boxed
    lines = _ANSWER.findall(final.replace("*", ""))
    return lines[-1].strip() if lines else None
