"""AMO-Bench: the 39 problems of 50 whose answers rules can grade; the other 11 are not asked.

Eleven answers are descriptions (ids 2, 24 to 27, 38 to 42 and 46), which need a judge model. Those of ids 5 and 37 are
expressions in variables, graded at the values at which their authors grade them. The commit of the data is not known
here, so only a local copy is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opdbench.api import UNPINNED, HubData, Task, boxed_answer
from opdbench_tasks._shared import math_problem
from opdbench_tasks._templates import MATH_TEMPLATES
from opdbench_tasks._values import ByValues

Row = Mapping[str, Any]
_VALUES = (
    ("5", tuple((("n", n),) for n in range(1, 21))),
    ("37", tuple((("a", n), ("b", n + 1), ("c", n + 2)) for n in range(2, 19))),
)


def _by_rules(rows: Sequence[Row]) -> Iterable[Row]:
    return [row for row in rows if row["answer_type"] != "description"]


def _plain(row: Row) -> Row:
    answer, reference = row["answer"], row.get("solution")
    bare = boxed_answer(answer) if isinstance(answer, str) else None
    return {"id": row["question_id"], "problem": row["prompt"], "answer": bare or answer, "solution": reference}


AMO_BENCH = Task(
    id="amo_bench",
    title="AMO-Bench (39 of 50; 11 need a judge and are not scored)",
    source=HubData(
        name="amo_bench",
        repo="meituan-longcat/AMO-Bench",
        revision=UNPINNED,
        files=("**/*.parquet",),
        columns=("question_id", "prompt", "answer", "answer_type"),
        num_rows=50,
        select=_by_rules,
        plain=_plain,
    ),
    problem=math_problem,
    grader=ByValues(values=_VALUES),
    num_problems={"test": 39},
    k=16,
    version=2,
    licence="MIT (code; of the data unknown)",
    released="2025-10-31",
    reference="https://huggingface.co/datasets/meituan-longcat/AMO-Bench",
    templates=MATH_TEMPLATES,
)
