"""MATH-500: the 500 problems of MATH that PRM800K set apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from opdbench.api import BoxedExpression, HubData, Problem, Task
from opdbench_tasks._shared import math_problem
from opdbench_tasks._templates import MATH_TEMPLATES


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(row["unique_id"]).removeprefix("test/").removesuffix(".json").replace("/", "-")
    return {"id": name, "problem": row["problem"], "answer": row["answer"], "solution": row["solution"]}


def _other_names(problem: Problem, place: int) -> Sequence[str]:
    del place
    return (f"test/{problem.id.replace('-', '/')}.json",)


MATH500 = Task(
    id="math500",
    title="MATH-500",
    source=HubData(
        name="math500",
        repo="HuggingFaceH4/MATH-500",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        files=("test.jsonl",),
        columns=("unique_id", "problem", "answer", "solution"),
        num_rows=500,
        plain=_plain,
    ),
    problem=math_problem,
    grader=BoxedExpression(),
    num_problems={"test": 500},
    k=4,
    version=2,
    licence="MIT",
    released="2023-05-31",
    reference="https://huggingface.co/datasets/HuggingFaceH4/MATH-500",
    templates=MATH_TEMPLATES,
    other_names=_other_names,
)
