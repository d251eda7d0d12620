"""Grades answers to prompts with constraints of form that a program can check."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from opdbench.graders import constraints_form, constraints_pieces
from opdbench.graders.constraints import CHECKS, CannotScoreError, Settings
from opdbench.graders.extract import final_text
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, missing
from opdbench.records import Grade, Problem, Sample

RULES = 2
MAX_TEXT = 200_000
_COUNTS = {"N", "small_n", "n", "m", "max_words"}
_PLACES = {"n_start", "n_end", "min_words"}
_TEXTS = {"word", "keyword", "sep", "options", "prompt_to_repeat", "reference_text"} | {f"keyword{i}" for i in range(9)}
# Imported for the checks that they register.
assert constraints_form
assert constraints_pieces


@dataclass(frozen=True, slots=True)
class Instructions:
    """The answer follows every constraint of its prompt.

    ``Problem.target`` is ``{"instruction_id_list": [id, ...], "kwargs": [settings, ...]}``. The headline is loose: a
    constraint holds when it does for the answer or for one without its first or last line or without asterisks;
    ``is_strict`` asks for the answer as it is. A prompt with a constraint that cannot be checked here is ``ungraded``.

    Six rules follow a correction of the public verifiers that is not on their main branch (``graders.constraints``
    names them), so on 32 of the 300 prompts of IFBench a verdict can differ; ``corrected`` in the id says so.
    """

    is_strict: bool = False
    states_gold: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Name, rule version, whether it is strict, and that some rules are corrected ones."""
        return f"instructions/{RULES}[{'strict' if self.is_strict else 'loose'},corrected]"

    def gold(self, problem: Problem) -> str:
        """Return the problem's worked answer, "" where it has none: many answers follow the same constraints."""
        return problem.reference or ""

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order."""
        grader = self.id
        return [as_grade(sample, self._judge(problem, sample), grader) for problem, sample in items]

    def _judge(self, problem: Problem, sample: Sample) -> Judgement:
        wanted = _constraints(problem.target)
        if not wanted:
            return INVALID_PROBLEM
        unknown = [id for id, _ in wanted if id not in CHECKS]
        if unknown:
            return Judgement("ungraded", f"not_scored:{unknown[0]}")
        text = _answer(sample.text)
        if not text.strip():
            return missing(sample)
        if len(text) > MAX_TEXT:
            return Judgement("wrong", "limit")
        texts = [text] if self.is_strict else _variants(text)
        try:
            failed = [id for id, given in wanted if not any(_follows(id, item, given) for item in texts)]
        except CannotScoreError as error:
            return Judgement("ungraded", f"not_scored:{error}")
        return Judgement("wrong", failed[0]) if failed else Judgement("correct", "constraints")


class _Given(dict[str, Any]):
    """The settings of one constraint; one that a rule asks for and that is not set leaves the prompt unscored."""

    def __init__(self, id: str, given: Mapping[str, Any]) -> None:
        super().__init__((name, _whole(value)) for name, value in given.items() if value is not None)
        self.id = id

    def __missing__(self, name: str) -> Any:
        raise CannotScoreError(f"{self.id} without {name!r}")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _answer(text: str) -> str:
    """Return the text after the thought, without the space between the two; "" for a thought that never ends."""
    final = final_text(text)
    return final or "" if final is None or len(final) == len(text) else final.lstrip()


def _constraints(target: Any) -> list[tuple[str, Settings]]:
    """Return ids with their settings, none where the target is no list of constraints."""
    if not isinstance(target, Mapping):
        return []
    ids, settings = target.get("instruction_id_list"), target.get("kwargs")
    if not isinstance(ids, list) or not isinstance(settings, list) or len(ids) != len(settings):
        return []
    if not all(given is None or isinstance(given, Mapping) for given in settings):
        return []
    found = [_Given(str(id), given or {}) for id, given in zip(ids, settings, strict=True)]
    is_right = all(_is_setting(name, value) for given in found for name, value in given.items())
    return [(given.id, given) for given in found] if is_right else []


def _is_setting(name: str, value: Any) -> bool:
    """Say whether a setting has the kind that its rule computes with; of names that no rule knows anything is right."""
    if name in _TEXTS:
        return isinstance(value, str)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if name in _COUNTS | _PLACES:
        return is_number and value >= (name in _COUNTS)
    return name != "percentage" or is_number or isinstance(value, float)


def _variants(text: str) -> list[str]:
    """Return the texts of which one must follow a constraint."""
    lines = text.split("\n")
    texts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [item for item in dict.fromkeys([*texts, *(item.replace("*", "") for item in texts)]) if item.strip()]


def _follows(id: str, text: str, given: Settings) -> bool:
    """Check one constraint; a text that is no table where one is read does not follow it.

    Raises:
        CannotScoreError: a library or a setting is lacking.
    """
    try:
        return CHECKS[id](text, given)
    except csv.Error:
        return False
