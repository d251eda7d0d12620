"""AMC 12: the 40 problems of 2023 that most papers mean, and the 83 of 2022 and 2023 that LUFFY and TGPO mean."""

from collections.abc import Mapping
from typing import Any

from opdbench.api import BoxedInteger, HubData
from opdbench_tasks._shared import competition


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": row["id"], "problem": row["question"], "answer": row["answer"]}


AMC23 = competition(
    HubData(
        name="amc23",
        repo="math-ai/amc23",
        revision="80815d37005feb82cd7f8fbc6901d5d3eff43057",
        files=("test-*.parquet",),
        columns=("id", "question", "answer"),
        num_rows=40,
        plain=_plain,
    ),
    title="AMC 12 2023 (40)",
    grader=BoxedInteger(),
    licence="Apache-2.0 (problems: MAA)",
    released="2023-11-14",
    version=2,
)

AMC83 = competition(
    HubData(
        name="amc83",
        repo="AI-MO/aimo-validation-amc",
        revision="69d78a4a2c840e82d69af6bc742bda09005f6316",
        files=("data/train-*.parquet",),
        columns=("id", "problem", "answer"),
        num_rows=83,
    ),
    title="AMC 12 2022 and 2023 (83)",
    grader=BoxedInteger(),
    licence="Apache-2.0 (problems: MAA)",
    released="2023-11-14",
    version=2,
)
