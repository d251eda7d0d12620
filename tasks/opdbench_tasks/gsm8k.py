r"""GSM8K, test split: 1319 word problems, the answer after ``####``.

The data set's own way to state an answer counts beside a box, since few of its published outputs have one; a question
may ask for a percentage, so that ``20\%`` is 20.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opdbench.api import BoxedExpression, DataError, Grade, HubData, Problem, Sample, Task, boxed_answer, content_key
from opdbench_tasks._shared import math_problem, place_as_name
from opdbench_tasks._templates import MATH_TEMPLATES

_STATED = re.compile(
    r"(?im)(?:^[ \t]*+(?:####|A:)|\banswer\b(?:[ \t]++is\b[ \t]*+:?|[ \t]*+[:=]))"
    r"[ \t*$]*+(?P<number>-?\$?(?:\d[\d,]*+(?:\.\d*+)?+|\.\d++)(?:[ \t]*+\\?%)?+)(?![ \t]*+(?:[-+/=^\d]|\*(?!\*)))"
)
"""Nothing is tried twice: a hostile completion costs no more than its length."""


@dataclass(frozen=True, slots=True)
class StatedNumber(BoxedExpression):
    """The last box decides, else the last number stated as the answer: ``#### 18``, ``A: 18``, ``The answer is 18``."""

    @property
    def id(self) -> str:
        """Name, rule version and the grader that compares.

        Raises:
            GradingError: math-verify is not installed.
        """
        return f"stated-number/1+{super(StatedNumber, self).id}"

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade samples in order.

        Raises:
            GradingError: math-verify is not installed or its worker does not start.
        """
        boxed = [(problem, replace(sample, text=_with_box(sample.text))) for problem, sample in items]
        return super(StatedNumber, self).grade(boxed)


def _with_box(text: str) -> str:
    """Return the text, with the number that it states as its answer in a box where it has none after its thought."""
    final = text.rpartition("</think>")[2]
    if "<think>" in final or boxed_answer(final) is not None:
        return text
    stated = [found["number"].strip() for found in _STATED.finditer(final)]
    return rf"\boxed{{{stated[-1]}}}" if stated else text


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    solution, mark, answer = str(row["answer"]).rpartition("####")
    if not mark:
        raise DataError("column answer: a number after #### is expected, and there is no ####")
    question = row["question"]
    return {
        "id": content_key(question),
        "problem": question,
        "answer": answer.strip().replace(",", ""),
        "solution": solution.strip(),
    }


GSM8K = Task(
    id="gsm8k",
    title="GSM8K",
    source=HubData(
        name="gsm8k",
        repo="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        files=("main/test-*.parquet",),
        columns=("question", "answer"),
        num_rows=1319,
        plain=_plain,
        sha256={"main/test-00000-of-00001.parquet": "ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59"},
    ),
    problem=math_problem,
    grader=StatedNumber(),
    num_problems={"test": 1319},
    k=1,
    version=2,
    licence="MIT",
    released="2021-10-27",
    reference="https://huggingface.co/datasets/openai/gsm8k",
    templates=MATH_TEMPLATES,
    other_names=place_as_name,
)
