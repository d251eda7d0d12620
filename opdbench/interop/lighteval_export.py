"""Writes tasks as a custom-task module of lighteval 0.13 with their data beside it, so that others can check scores.

The module needs lighteval alone, but for tasks that lighteval has no metric for: those are graded by our grader, which
the module then imports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opdbench import registry
from opdbench.errors import ConfigError
from opdbench.interop.lighteval import gold_choices, kind_of
from opdbench.records import Pool, Problem
from opdbench.task import Task

MODULE = "opdbench_lighteval.py"
PREFIX = "opd_"
"""Before every name: lighteval refuses one that it knows already."""

_HEAD = '''"""Tasks of opdbench for lighteval 0.13, written by `opdbench export`; their rows are in data/.

    lighteval accelerate "model_name=MODEL" "NAME|0" --custom-tasks {module}

Do not publish the data: their licences are those of the benchmarks.
"""

from pathlib import Path

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

DATA = Path(__file__).resolve().parent / "data"
TASKS = {tasks}
'''
_BODY = """

def prompt(line, task_name=None):
    return Doc(
        task_name=task_name,
        query=line["query"],
        choices=line["choices"],
        gold_index=line["gold_index"],
        specific={"uid": line["uid"]},
    )


def metrics(task):
    if task["kind"] == "math":
        k = task["k"]
        return [
            Metrics.avg_at_n_math(sample_params={"n": k}),
            Metrics.pass_at_k_math(sample_params={"k": 1, "n": k}),
        ]
    if task["kind"] == "choice":
        return [Metrics.gpqa_instruct_pass_at_k(sample_params={"k": 1, "n": task["k"]})]
    from opdbench.interop.lighteval_metric import own_metric

    return [own_metric(task["id"], task["pool"], task["k"])]


TASKS_TABLE = [
    LightevalTaskConfig(
        name=task["name"],
        prompt_function=prompt,
        hf_repo=str(DATA / task["id"]),
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=task["max_tokens"],
        stop_sequence=[],
        metrics=metrics(task),
        version=task["version"],
    )
    for task in TASKS
]
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the module, the tasks by lighteval's names, and those whose text must not be published."""

    module: Path
    names: tuple[str, ...]
    private: tuple[str, ...]


def export_tasks(
    tasks: Sequence[str], directory: Path, *, pool: Pool = "test", k: int | None = None, max_tokens: int = 32768
) -> Exported:
    """Write a custom-task module and the rows of its tasks.

    Args:
        tasks: Ids of tasks.
        directory: Where; it is made where it does not exist, and files of an earlier export are replaced.
        pool: Which problems.
        k: Samples per problem; by default each task's own number.
        max_tokens: Longest completion.

    Raises:
        PluginError: a task is not installed.
        ConfigError: no task is named, a task lacks the pool, or the directory cannot be written.
        DataError: the data of a task are not here, or not those that were pinned.
    """
    if not tasks:
        raise ConfigError("name the tasks to export; `opdbench list tasks` shows them")
    loaded: list[Task] = [registry.load("tasks", id) for id in tasks]
    rows = {task.id: [_row(task, problem) for problem in _problems(task, pool)] for task in loaded}
    entries = [_entry(task, pool, k, max_tokens) for task in loaded]
    try:
        for id, lines in rows.items():
            _write(directory / "data" / id / "test.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
        listing = "[\n" + "".join(f"    {entry!r},\n" for entry in entries) + "]"
        _write(directory / MODULE, _HEAD.replace("{module}", MODULE).replace("{tasks}", listing) + _BODY)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror or error}") from None
    private = tuple(task.id for task in loaded if task.is_private_text)
    return Exported(directory / MODULE, tuple(entry["name"] for entry in entries), private)


def _problems(task: Task, pool: Pool) -> Iterator[Problem]:
    if pool not in task.num_problems:
        raise ConfigError(f"{task.id} has no {pool} pool; it has {', '.join(task.num_problems)}")
    yield from task.load(pool)


def _row(task: Task, problem: Problem) -> dict[str, Any]:
    """Return the row of a problem: the message as it is shown, and the gold answer as lighteval must be given it."""
    if kind_of(task) is None:
        choices, index = [""], 0
    else:
        choices, index = gold_choices(task, problem)
    return {"uid": problem.id, "query": task.message(problem), "choices": choices, "gold_index": index}


def _entry(task: Task, pool: Pool, k: int | None, max_tokens: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": f"{PREFIX}{task.id}",
        "kind": kind_of(task) or "own",
        "pool": pool,
        "k": k or task.k,
        "max_tokens": max_tokens,
        "version": task.version,
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
