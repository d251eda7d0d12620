"""OlympiadBench, text only, English, competition mathematics: 674 problems on the hub, 675 in Qwen2.5-Math's copy."""

from collections.abc import Mapping
from typing import Any

from opdbench.api import BoxedExpression, HubData, Task
from opdbench_tasks._shared import math_problem
from opdbench_tasks._templates import MATH_TEMPLATES

_FILE = "evaluation/data/olympiadbench/test.jsonl"


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    (answer,), solution = row["final_answer"], row["solution"]
    statement = f"{row['context']}\n{row['question']}" if row.get("context") else row["question"]
    return {"id": row["id"], "problem": statement, "answer": answer, "solution": solution[0] if solution else None}


def _task(id: str, num_rows: int, repo: str, revision: str, file: str, sha256: Mapping[str, str]) -> Task:
    return Task(
        id=id,
        title=f"OlympiadBench ({num_rows})",
        source=HubData(
            name=id,
            repo=repo,
            revision=revision,
            files=(file,),
            columns=("id", "question", "solution", "final_answer"),
            num_rows=num_rows,
            plain=_plain,
            sha256=sha256,
            host="github" if sha256 else "hub",
        ),
        problem=math_problem,
        grader=BoxedExpression(),
        num_problems={"test": num_rows},
        k=4,
        version=2,
        licence="Apache-2.0",
        released="2024-02-21",
        reference=f"https://{'github.com' if sha256 else 'huggingface.co/datasets'}/{repo}",
        templates=MATH_TEMPLATES,
    )


HUB = _task(
    "olympiadbench",
    674,
    "Hothan/OlympiadBench",
    "91184b52131e7fc9455fef848035173aea8cc01a",
    "OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet",
    {},
)
QWEN = _task(
    "olympiadbench_675",
    675,
    "QwenLM/Qwen2.5-Math",
    "a45202bd16f1ec06f433442dc1152d0074773465",
    _FILE,
    {_FILE: "bb8c1e38a16ea9eacb77530315a674d883f267fbff79183effc53681b4fcc416"},
)
