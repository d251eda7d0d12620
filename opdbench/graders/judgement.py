"""What graders share: a judgement before it has an address, and how a missing answer is judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from opdbench.errors import GradingError
from opdbench.graders.extract import final_text
from opdbench.records import Grade, Sample, Verdict

MAX_STORED_ANSWER = 500
MAX_STORED_CODE = 20_000
_LAYERS = "+sandbox-"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the rule that decided, and the answer as it was extracted."""

    verdict: Verdict
    reason: str
    answer: str | None = None


INVALID_PROBLEM = Judgement("ungraded", "invalid_problem")


def missing(sample: Sample, reason: str = "no_answer") -> Judgement:
    """Return the verdict on a completion that holds no answer: truncated if it or its thought is cut, else wrong."""
    is_cut = sample.finish_reason == "length" or final_text(sample.text) is None
    return Judgement("truncated" if is_cut else "wrong", reason)


def with_layers(grader: str, layers: Iterable[str]) -> str:
    """Return a grader's id with the layers of the sandbox that it used, a fact of a machine that each grade carries."""
    return f"{grader}{_LAYERS}{'+'.join(layers)}"


def marks_of(grades: Iterable[Grade]) -> tuple[str, ...]:
    """Return the marks that a result takes over from its grades: ``unsafe-exec`` if a program ran unprotected."""
    graders = {grade.grader for grade in grades}
    is_unsafe = any("unsafe" in grader.partition(_LAYERS)[2].split("+") for grader in graders)
    return ("unsafe-exec",) if is_unsafe else ()


def as_grade(sample: Sample, judgement: Judgement, grader: str, max_answer: int = MAX_STORED_ANSWER) -> Grade:
    """Return the grade of a sample; the answer loses what UTF-8 cannot store and is cut to ``max_answer``."""
    answer = judgement.answer
    if answer is not None:
        answer = answer[:max_answer].encode("utf-8", "replace").decode()
    return Grade(sample.task, sample.problem_id, sample.index, judgement.verdict, judgement.reason, answer, grader)


@cache
def library_version(distribution: str) -> str:
    """Return the installed version of a library that decides verdicts, without importing it.

    Raises:
        GradingError: the library is not installed.
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise GradingError(
            f"{distribution} is not installed; this grader needs it: pip install {distribution}"
        ) from error
