"""MMLU-Redux 2.0, without the questions that its annotators found faulty, and MMLU-Pro, with up to ten options.

Options keep their published order: some of them refer to others ("both A and B"). MMLU-Redux keeps the rows whose
``error_type`` is ``ok``, 5330 of 5700; a corrected answer is free text in the data, so corrected rows are left out too.
MMLU-Pro is published with five worked examples, after which models go on to other questions: its answers are read as
prose.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opdbench.api import Choice, HubData, Task, content_key
from opdbench_tasks._shared import LETTERS, choice_problem
from opdbench_tasks._templates import CHOICE_TEMPLATES

Row = Mapping[str, Any]


def _without_errors(rows: Sequence[Row]) -> Iterable[Row]:
    """Yield the rows without a fault; a question that is there twice gets a number of its own."""
    seen: dict[str, int] = {}
    for row in rows:
        if row["error_type"] == "ok":
            key = content_key([row["question"], list(row["choices"])])
            seen[key] = seen.get(key, 0) + 1
            yield {**row, "id": key if seen[key] == 1 else f"{key}-{seen[key]}"}


def _plain_redux(row: Row) -> Row:
    letter = LETTERS[int(row["answer"])]
    return {"id": row["id"], "problem": row["question"], "choices": row["choices"], "answer": letter}


def _plain_pro(row: Row) -> Row:
    return {
        "id": row["question_id"],
        "problem": row["question"],
        "choices": row["options"],
        "answer": row["answer"],
    }


REDUX = Task(
    id="mmlu_redux",
    title="MMLU-Redux 2.0 (without faulty questions)",
    source=HubData(
        name="mmlu_redux",
        repo="edinburgh-dawg/mmlu-redux-2.0",
        revision="372ea425445d51e1ba1188c56e5e893f8138621f",
        files=("*/data-*.arrow",),
        columns=("question", "choices", "answer", "error_type"),
        num_rows=5700,
        select=_without_errors,
        plain=_plain_redux,
    ),
    problem=choice_problem,
    grader=Choice("ABCD"),
    num_problems={"test": 5330},
    k=1,
    version=1,
    licence="CC-BY-4.0",
    released="2024-06-06",
    reference="https://huggingface.co/datasets/edinburgh-dawg/mmlu-redux-2.0",
    templates=CHOICE_TEMPLATES,
)

PRO = Task(
    id="mmlu_pro",
    title="MMLU-Pro",
    source=HubData(
        name="mmlu_pro",
        repo="TIGER-Lab/MMLU-Pro",
        revision="3373e0b32277875b8db2aa555a333b78a08477ea",
        files=("data/test-*.parquet",),
        columns=("question_id", "question", "options", "answer"),
        num_rows=12032,
        plain=_plain_pro,
    ),
    problem=choice_problem,
    grader=Choice("ABCDEFGHIJ", prose=True),
    num_problems={"test": 12032},
    k=1,
    version=2,
    licence="MIT",
    released="2024-06-03",
    reference="https://huggingface.co/datasets/TIGER-Lab/MMLU-Pro",
    templates=CHOICE_TEMPLATES,
)
