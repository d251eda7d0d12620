"""Grades multiple choice: one option letter in the last box, or after the last "Answer:"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from opdbench.graders.boxed import boxed_answer
from opdbench.graders.extract import final_text
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, missing
from opdbench.graders.normalise import MAX_ANSWER
from opdbench.graders.option_text import plain, quotes_option, without_option
from opdbench.graders.prose import before_other_questions, closing_answer
from opdbench.records import Grade, Problem, Sample

RULES = 2
PROSE_RULES = 1

_ANSWER = re.compile(r"(?i)\banswer\b(?:\s++is\b\s*+:?|\s*+[:=])\s*+(?=(?P<said>[^\n]{1,200}))")
MAX_STATED = 20
"""Last statements of an answer that are read: a hostile completion costs no more."""
_LEAD = re.compile(r"(?i)^(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\b\s*(?:is\b)?\s*:?\s*")
_WORD = re.compile(r"\b[AI](?= (?!or\b|and\b)[a-z]{2,})|\bI(?=\s*,\s*I[IV])")
"""The article, and the pronoun or numeral ("I think", "I only", "I, II")."""
_SYMBOL = re.compile(r"H(?=\+)|[A-Z](?=-[a-z])|A(?= \d+-[a-z])|(?<=\bof )[A-Z](?=\. [a-z])")
"""A letter that is a symbol or an article in prose: "H+", "B-cells", "A 12-year-old", "a strain of E. coli"."""
_NUMERALS = re.compile(r"\b(?:II|III|IV|VI{0,3}|IX)\b")


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer is one letter of ``letters``; the options are the row's, not always four.

    A box decides before "Answer: X", the last one before earlier ones, where they name an option: the value of a
    calculation does not. An answer that names more than one option is wrong. Letters in an option's own text name no
    option ("C. Both A and B", where the prompt says so).

    With ``prose``, what follows a stated option from a line on that turns to other questions does not count, and where
    no box and no "Answer: X" names an option, the last sentence may ("Therefore, the best choice is (C).").
    """

    letters: str = "ABCD"
    prose: bool = False

    @property
    def id(self) -> str:
        """Name, rule version and letters, and the version of what is read in prose."""
        return f"choice/{RULES}[{self.letters}]" + (f"+prose/{PROSE_RULES}" if self.prose else "")

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
        answers = self._answers(sample.text, problem.prompt)
        if not answers:
            return missing(sample)
        read = ((answer, self._options(answer[:MAX_ANSWER], problem.prompt)) for answer in answers)
        answer, options = next((pair for pair in read if pair[1]), (answers[0], set[str]()))
        if len(options) > 1:
            return Judgement("wrong", "many_options", answer)
        if not options:
            return Judgement("wrong", "no_option", answer)
        return Judgement("correct" if options == {problem.target} else "wrong", "option", answer)

    def _answers(self, text: str, prompt: str) -> list[str]:
        """Return all that states an answer, what counts most first."""
        final = final_text(text)
        if not self.prose or final is None:
            return stated_answers(text, prompt)
        return self._said(before_other_questions(final, prompt, partial(self._states_option, prompt)), prompt)

    def _said(self, text: str, prompt: str) -> list[str]:
        closing = closing_answer(text.replace("*", ""), partial(quotes_option, prompt))
        return [*stated_answers(text, prompt), *([closing] if closing else [])]

    def _states_option(self, prompt: str, text: str) -> bool:
        return any(self._options(answer[:MAX_ANSWER], prompt) for answer in self._said(text, prompt))

    def _options(self, answer: str, prompt: str) -> set[str]:
        """Return the distinct options that an answer names.

        The answer must begin with an option; letters in what follows count too, except the article, the pronoun,
        Roman numerals, and the text of the option itself.
        """
        text = _LEAD.sub("", plain(answer))
        letter = rf"[{re.escape(self.letters)}]"
        first = re.match(rf"\(?\s*({letter})(?![A-Za-z0-9])", text)
        if not first or (_WORD.match(text) and len(text) > 1):
            return set()
        rest = without_option(text[first.end() :], first[1], prompt)
        rest = _SYMBOL.sub("", rest) if self.prose else rest
        rest = _WORD.sub("", re.sub(r"\bI\b", "", rest) if _NUMERALS.search(rest) else rest)
        return {first[1], *re.findall(rf"(?<![A-Za-z0-9])({letter})(?![A-Za-z0-9'])", rest)}


def stated_answers(text: str, prompt: str = "") -> list[str]:
    """Return the last box after the thought, then what follows each "Answer:", the last one first.

    A box in a repeated ``prompt`` does not count.
    """
    final = final_text(text)
    if final is None:
        return []
    boxed = boxed_answer(final, prompt)
    said = [found["said"].strip() for found in _ANSWER.finditer(final.replace("*", ""))]
    return [answer for answer in (boxed, *reversed(said[-MAX_STATED:])) if answer]
