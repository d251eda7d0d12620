"""BeyondAIME: 100 problems whose answer is an integer of any size."""

from collections.abc import Mapping
from typing import Any

from opdbench.api import BoxedInteger, HubData, Task, content_key
from opdbench_tasks._shared import math_problem, place_as_name
from opdbench_tasks._templates import MATH_TEMPLATES


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": row.get("id", content_key(row["problem"])), "problem": row["problem"], "answer": row["answer"]}


BEYONDAIME = Task(
    id="beyondaime",
    title="BeyondAIME",
    source=HubData(
        name="beyondaime",
        repo="ByteDance-Seed/BeyondAIME",
        revision="c705198ae1043810b1e1693bd879250b51a7a523",
        files=("**/*.parquet",),
        columns=("problem", "answer"),
        num_rows=100,
        plain=_plain,
    ),
    problem=math_problem,
    grader=BoxedInteger(),
    num_problems={"test": 100},
    k=16,
    version=2,
    licence="CC0-1.0",
    released="2025-06-16",
    reference="https://huggingface.co/datasets/ByteDance-Seed/BeyondAIME",
    templates=MATH_TEMPLATES,
    other_names=place_as_name,
)
