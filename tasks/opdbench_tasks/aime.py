"""AIME 2024 and 2025, both exams of a year: 30 problems, an integer from 0 to 999 each."""

from opdbench.api import BoxedInteger, HubData
from opdbench_tasks._shared import competition

AIME24 = competition(
    HubData(
        name="aime24",
        repo="HuggingFaceH4/aime_2024",
        revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        files=("data/train-*.parquet",),
        columns=("id", "problem", "solution", "answer"),
        num_rows=30,
    ),
    title="AIME 2024",
    grader=BoxedInteger(0, 999),
    licence="none stated (problems: MAA)",
    released="2024-02-07",
    version=2,
)

AIME25 = competition(
    HubData(
        name="aime25",
        repo="math-ai/aime25",
        revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
        files=("test.jsonl",),
        columns=("id", "problem", "answer"),
        num_rows=30,
    ),
    title="AIME 2025",
    grader=BoxedInteger(0, 999),
    licence="Apache-2.0 (problems: MAA)",
    released="2025-02-13",
    version=2,
)
