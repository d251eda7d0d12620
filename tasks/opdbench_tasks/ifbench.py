"""IFBench, single turn: the 300 prompts of today, and the 294 of the first release that older papers report.

Only the data: a task is registered when its verifiers are. ``target`` holds the constraints of one prompt, with the
arguments that are set. The commit of the 294 prompts is not known here, so only a local copy of them is read.
"""

from collections.abc import Mapping
from typing import Any

from opdbench.api import UNPINNED, Grader, HubData, Problem, Task


def _source(name: str, revision: str, num_rows: int) -> HubData:
    return HubData(
        name=name,
        repo="allenai/IFBench_test",
        revision=revision,
        files=("data/train-*.parquet",),
        columns=("key", "prompt", "instruction_id_list", "kwargs"),
        num_rows=num_rows,
    )


IFBENCH = _source("ifbench", "2e8a48de45ff3bf41242f927254ca81b59ca3ae2", 300)
IFBENCH_294 = _source("ifbench_294", UNPINNED, 294)


def problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row: the prompt as it is, and what the response must fulfil."""
    arguments = [{name: value for name, value in one.items() if value is not None} for one in row["kwargs"]]
    target = {"prompt": row["prompt"], "instructions": list(row["instruction_id_list"]), "arguments": arguments}
    return Problem(str(row["key"]), row["prompt"], target, domain="instruction")


def task(source: HubData, grader: Grader) -> Task:
    """Return the task of a release, graded by its verifiers."""
    return Task(
        id=source.name,
        title=f"IFBench ({source.num_rows})",
        source=source,
        problem=problem,
        grader=grader,
        num_problems={"test": source.num_rows},
        k=1,
        version=1,
        licence="ODC-BY-1.0",
        released="2025-07-03",
        reference="https://huggingface.co/datasets/allenai/IFBench_test",
    )
