"""HMMT February and November 2025, as MathArena transcribed them: 30 problems each, answers in LaTeX."""

from collections.abc import Mapping
from typing import Any

from opdbench.api import BoxedExpression, HubData, Task
from opdbench_tasks._shared import competition


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": row["problem_idx"], "problem": row["problem"], "answer": row["answer"]}


def _hmmt(id: str, title: str, repo: str, revision: str, released: str) -> Task:
    source = HubData(
        name=id,
        repo=repo,
        revision=revision,
        files=("data/train-*.parquet",),
        columns=("problem_idx", "problem", "answer"),
        num_rows=30,
        plain=_plain,
    )
    return competition(source, title, BoxedExpression(), licence="CC-BY-NC-SA-4.0", released=released, version=2)


FEB25 = _hmmt(
    "hmmt25_feb",
    "HMMT February 2025",
    "MathArena/hmmt_feb_2025",
    "6fdc4277120810ff75aa22d2d5489b91f7a262a1",
    "2025-02-15",
)
NOV25 = _hmmt(
    "hmmt25_nov",
    "HMMT November 2025",
    "MathArena/hmmt_nov_2025",
    "118dbfb45c4c9467c672268ed55166642897aa46",
    "2025-11-08",
)
