r"""What the benchmark files share: prompts, and the way from a row in the plain form to a problem.

The prompt of mathematics is the one that the papers on on-policy distillation print: the statement, then "Please reason
step by step, and put your final answer within \boxed{}.".
"""

import hashlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from opdbench.api import Problem

LETTERS = string.ascii_uppercase
_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
_PROGRAM = "Answer with one whole program in a block of code."
_LETTER = "Please reason step by step, and put the letter of your answer within \\boxed{}."


def _templates(instruction: str) -> Mapping[str, str]:
    return {
        "plain": f"{{prompt}}\n{instruction}",
        "refine": f"{{prompt}}\nDraft:\n{{draft}}\nWrite a correct solution. {instruction}",
        "reference": f"{{prompt}}\nSolution:\n{{reference}}\nSolve it again. {instruction}",
        "refine_with_reference": (
            f"{{prompt}}\nSolution:\n{{reference}}\nDraft:\n{{draft}}\nWrite a correct solution. {instruction}"
        ),
    }


MATH_TEMPLATES = _templates(_BOXED)
CHOICE_TEMPLATES = _templates(_LETTER)
CODE_TEMPLATES = {**_templates(_PROGRAM), "plain": "{prompt}"}
"""What is asked of programs is part of each prompt, in its benchmark's own words."""


def written(answer: Any) -> str:
    """Return a gold answer as text; an integer that was stored as a float (``27.0``) is written as an integer."""
    return str(int(answer)) if isinstance(answer, float) and answer.is_integer() else str(answer).strip()


def math_problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row in the plain form."""
    reference = row.get("solution")
    return Problem(
        str(row["id"]), str(row["problem"]).strip(), written(row["answer"]), domain="math", reference=reference or None
    )


def choice_problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row with ``choices`` and the letter of the right one, or with options in its text."""
    prompt, choices = str(row["problem"]), row.get("choices")
    if choices:
        options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, choices, strict=False))
        prompt = f"{prompt}\n\n{options}\n"
    return Problem(str(row["id"]), prompt, str(row["answer"]).strip(), domain="stem")


def permutation(question: str, num_choices: int) -> list[int]:
    """Return the order of a question's choices: it follows from the question alone, never from a running generator."""
    return sorted(range(num_choices), key=lambda i: hashlib.sha256(f"{question}\0{i}".encode()).digest())


def shuffled(question: str, choices: Sequence[str], right: int = 0) -> tuple[list[str], str]:
    """Return the choices in the order of ``permutation``, and the letter of the right one."""
    order = permutation(question, len(choices))
    return [choices[i] for i in order], LETTERS[order.index(right)]
