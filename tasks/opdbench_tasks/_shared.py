"""What the benchmark files share: from a row in the plain form to a problem, competitions, the order of choices."""

import hashlib
import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from opdbench.api import DataError, Grader, HubData, Problem, Task
from opdbench_tasks._templates import MATH_TEMPLATES

LETTERS = string.ascii_uppercase


def written(answer: Any) -> str:
    """Return a gold answer as text; an integer that was stored as a float (``27.0``) is written as an integer."""
    return str(int(answer)) if isinstance(answer, float) and answer.is_integer() else str(answer).strip()


def stated(value: Any, column: str) -> Any:
    """Return a value that a row must have.

    Raises:
        DataError: it is neither text nor a number, or is empty.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number and not (isinstance(value, str) and value.strip()):
        raise DataError(f"column {column}: a text or a number is expected, got {value!r:.60}")
    return value


def math_problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row in the plain form.

    Its statement may be empty, as one row of a public copy of MATH-500 is: answers to it can be graded all the same,
    and ``opdbench validate`` names it.

    Raises:
        DataError: id, question or answer is neither text nor a number, or id or answer is empty.
    """
    id, answer = stated(row["id"], "id"), stated(row["answer"], "answer")
    question = row["problem"] if row["problem"] == "" else stated(row["problem"], "problem")
    reference = row.get("solution") or None
    return Problem(str(id), str(question).strip(), written(answer), domain="math", reference=reference)


def place_as_name(problem: Problem, place: int) -> Sequence[str]:
    """Return the place of a problem in its data, from 0, where they have no ids, so that its own is a digest."""
    return (str(place),) if re.fullmatch(r"[0-9a-f]{16}", problem.id) else ()


def competition(source: HubData, title: str, grader: Grader, *, licence: str, released: str, version: int = 1) -> Task:
    """Return the task of a competition of mathematics: every row of a data set of the hub is asked, 32 times each."""
    return Task(
        id=source.name,
        title=title,
        source=source,
        problem=math_problem,
        grader=grader,
        num_problems={source.pool: source.num_rows},
        k=32,
        version=version,
        licence=licence,
        released=released,
        reference=f"https://huggingface.co/datasets/{source.repo}",
        templates=MATH_TEMPLATES,
    )


def code_problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row in the plain form whose answer is what its grader runs.

    Raises:
        DataError: id or question is neither text nor a number, or is empty, or there is nothing to run.
    """
    id, question = stated(row["id"], "id"), stated(row["problem"], "problem")
    if not row["answer"]:
        raise DataError(f"column answer: tests are expected, got {row['answer']!r:.60}")
    return Problem(str(id), str(question), row["answer"], domain="code", reference=row.get("solution"))


def choice_problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row with ``choices`` and the letter of the right one, or with options in its text.

    Raises:
        DataError: id, question, answer or a choice is neither text nor a number, or is empty; there are more choices
            than letters; or the answer is none of their letters.
    """
    id, prompt, answer = (str(stated(row[column], column)) for column in ("id", "problem", "answer"))
    choices, answer = row.get("choices"), answer.strip()
    if choices is not None:
        letters = _letters(choices)
        if answer not in list(letters):
            raise DataError(f"column answer: one of the letters {letters} is expected, got {answer!r:.60}")
        options = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, choices, strict=True))
        prompt = f"{prompt}\n\n{options}\n"
    return Problem(id, prompt, answer, domain="stem")


def _letters(choices: Any) -> str:
    """Return the letters of some choices."""
    if not isinstance(choices, list | tuple) or not 0 < len(choices) <= len(LETTERS):
        raise DataError(f"column choices: 1 to {len(LETTERS)} texts are expected, got {choices!r:.60}")
    for choice in choices:
        stated(choice, "choices")
    return LETTERS[: len(choices)]


def permutation(question: str, num_choices: int) -> list[int]:
    """Return the order of a question's choices: it follows from the question alone, never from a running generator."""
    return sorted(range(num_choices), key=lambda i: hashlib.sha256(f"{question}\0{i}".encode()).digest())


def shuffled(question: str, choices: Sequence[str], right: int = 0) -> tuple[list[str], str]:
    """Return the choices in the order of ``permutation``, and the letter of the right one.

    Raises:
        DataError: there are more choices than letters.
    """
    _letters(choices)
    order = permutation(question, len(choices))
    return [choices[i] for i in order], LETTERS[order.index(right)]
