"""Minerva Math: 272 questions of OCW courses. Public copies differ in 143 golds, so there is a task for each of two.

A file of one's own in the plain form has whatever golds it has: nothing here says whose they are, and what is stored of
a run holds their digest.
"""

from collections.abc import Mapping
from typing import Any

from opdbench.api import UNPINNED, BoxedExpression, HubData, Task, boxed_answer, content_key
from opdbench_tasks._shared import math_problem
from opdbench_tasks._templates import MATH_TEMPLATES

_FILE = "evaluation/data/minerva_math/test.jsonl"


def _from_solution(row: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = boxed_answer(row["solution"]) or ""
    return {"id": row["idx"], "problem": row["problem"], "answer": answer, "solution": row["solution"]}


def _from_hub(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": content_key(row["question"]), "problem": row["question"], "answer": row["answer"]}


def _task(id: str, title: str, source: HubData, reference: str) -> Task:
    return Task(
        id=id,
        title=title,
        source=source,
        problem=math_problem,
        grader=BoxedExpression(),
        num_problems={"test": 272},
        k=4,
        version=2,
        licence="unspecified",
        released="2022-06-29",
        reference=reference,
        templates=MATH_TEMPLATES,
    )


QWEN = _task(
    "minerva",
    "Minerva Math (Qwen2.5-Math's file, or your own)",
    HubData(
        name="minerva",
        repo="QwenLM/Qwen2.5-Math",
        revision="a45202bd16f1ec06f433442dc1152d0074773465",
        files=(_FILE,),
        columns=("idx", "problem", "solution"),
        num_rows=272,
        plain=_from_solution,
        sha256={_FILE: "0e656b430d3a0a1dab6aa853f453ba3805e28e2cabe4fc72486a897cc09d8ba2"},
        host="github",
    ),
    "https://github.com/QwenLM/Qwen2.5-Math",
)
HUB = _task(
    "minerva_hub",
    "Minerva Math (math-ai's file, or your own)",
    HubData(
        name="minerva_hub",
        repo="math-ai/minervamath",
        revision=UNPINNED,
        files=("**/*.parquet", "*.jsonl"),
        columns=("question", "answer"),
        num_rows=272,
        plain=_from_hub,
    ),
    "https://huggingface.co/datasets/math-ai/minervamath",
)
