"""Grades answers to prompts with constraints of form that a program can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from opdbench.graders import constraints_form, constraints_pieces
from opdbench.graders.constraints import CHECKS, CannotScoreError, Settings
from opdbench.graders.extract import final_text
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, as_grade, missing
from opdbench.records import Grade, Problem, Sample

RULES = 1
MAX_TEXT = 200_000
# Imported for the checks that they register.
assert constraints_form
assert constraints_pieces


@dataclass(frozen=True, slots=True)
class Instructions:
    """The answer follows every constraint of its prompt.

    ``Problem.target`` is ``{"instruction_id_list": [id, ...], "kwargs": [settings, ...]}``. The headline is loose: a
    constraint holds when it does for the answer or for one without its first or last line or without asterisks;
    ``is_strict`` asks for the answer as it is. A prompt with a constraint that cannot be checked here is ``ungraded``.
    """

    is_strict: bool = False
    states_gold: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Name, rule version and whether it is strict."""
        return f"instructions/{RULES}[{'strict' if self.is_strict else 'loose'}]"

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
        text = final_text(sample.text)
        if text is None or not text.strip():
            return missing(sample)
        if len(text) > MAX_TEXT:
            return Judgement("wrong", "limit")
        texts = [text] if self.is_strict else _variants(text)
        try:
            failed = [id for id, given in wanted if not any(_follows(id, item, given) for item in texts)]
        except CannotScoreError as error:
            return Judgement("ungraded", f"not_scored:{error}")
        return Judgement("wrong", failed[0]) if failed else Judgement("correct", "constraints")


def _constraints(target: Any) -> list[tuple[str, Settings]]:
    """Return ids with their settings, none where the target is no list of constraints."""
    if not isinstance(target, Mapping):
        return []
    ids, settings = target.get("instruction_id_list"), target.get("kwargs")
    if not isinstance(ids, list) or not isinstance(settings, list) or len(ids) != len(settings):
        return []
    return [
        (str(id), {name: value for name, value in (given or {}).items() if value is not None})
        for id, given in zip(ids, settings, strict=True)
    ]


def _variants(text: str) -> list[str]:
    """Return the texts of which one must follow a constraint."""
    lines = text.split("\n")
    texts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [item for item in dict.fromkeys([*texts, *(item.replace("*", "") for item in texts)]) if item.strip()]


def _follows(id: str, text: str, given: Settings) -> bool:
    """Check one constraint; a text that a check cannot read does not follow it.

    Raises:
        CannotScoreError: a library or a setting is lacking.
    """
    try:
        return CHECKS[id](text, given)
    except KeyError as error:
        raise CannotScoreError(f"{id} without {error}") from None
    except CannotScoreError:
        raise
    except Exception:
        return False
