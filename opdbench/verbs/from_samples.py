"""``eval --from-samples``: grades completions that were made elsewhere by the graders of the tasks they answer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opdbench import registry
from opdbench.errors import ConfigError, DataError
from opdbench.graders.beside import Beside, beside
from opdbench.records import Grade, Pool, Problem, Sample, Score
from opdbench.task import Task
from opdbench.verbs.sample_files import Completion, read_completions

BATCH = 512
Address = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a file of completions came to.

    Attributes:
        grades: One per completion, in the order of the file; ``ungraded`` with reason ``unknown_problem`` where the
            task has no such problem.
        scores: Per task and metric; undefined where a sample is missing or could not be graded.
        beside: Per task, what stands beside the headline.
        unknown: Lines that name no problem of their task, as ``task/id``.
        missing: Samples that the file lacks, as ``task/problem/number``.
        repeated: Samples that the file has twice; the first counts.
    """

    grades: tuple[Grade, ...]
    scores: tuple[Score, ...]
    beside: Mapping[str, Beside]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    repeated: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        grades = [
            {"sample" if name == "index" else name: item for name, item in asdict(g).items()} for g in self.grades
        ]
        return {
            "grades": grades,
            "scores": [asdict(score) for score in self.scores],
            "beside": {task: asdict(found) for task, found in self.beside.items()},
            "unknown": list(self.unknown),
            "missing": list(self.missing),
            "repeated": list(self.repeated),
        }


def score_file(
    path: Path, tasks: Sequence[str] = (), *, pool: Pool = "test", k: int | None = None, pass_k: Sequence[int] = ()
) -> Scored:
    """Grade and score the completions of a file.

    Args:
        path: Our JSONL, details of lighteval, or samples of lm-eval.
        tasks: Only these; a single one is also the task of every row that names another program's task.
        pool: Which problems are asked.
        k: Samples per problem; by default the most that any problem has.
        pass_k: The k of every pass@k that is reported.

    Raises:
        DataError: the file cannot be read, or names no task.
        PluginError: a task is not installed.
        ConfigError: a task lacks the pool, or pass@k asks for more samples than there are.
    """
    for id in tasks:
        registry.find("tasks", id)
    sorted_out: dict[str, list[Completion]] = defaultdict(list)
    for item in read_completions(path):
        task = _task(item, tasks, path)
        if not tasks or task in tasks:
            sorted_out[task].append(item)
    if not sorted_out:
        raise DataError(f"{path} holds no completion of {', '.join(tasks)}")
    parts = [_score_task(id, items, pool, k, pass_k) for id, items in sorted_out.items()]
    return Scored(
        tuple(grade for part in parts for grade in part.grades),
        tuple(score for part in parts for score in part.scores),
        {id: found for part in parts for id, found in part.beside.items()},
        tuple(item for part in parts for item in part.unknown),
        tuple(item for part in parts for item in part.missing),
        tuple(item for part in parts for item in part.repeated),
    )


def _task(item: Completion, tasks: Sequence[str], path: Path) -> str:
    if item.task in registry.available("tasks"):
        return item.task
    if len(tasks) == 1:
        return tasks[0]
    if not item.task:
        raise DataError(f"{path}:{item.line}: names no task; say which with --tasks")
    registry.find("tasks", item.task)  # says what is installed
    return item.task


def _score_task(id: str, items: Sequence[Completion], pool: Pool, k: int | None, pass_k: Sequence[int]) -> Scored:
    task: Task = registry.load("tasks", id)
    if pool not in task.num_problems:
        raise ConfigError(f"{id} has no {pool} pool; it has {', '.join(task.num_problems)}")
    problems = task.load(pool)
    finder, numbers = _Finder(problems), Counter[str]()
    pairs: dict[Address, tuple[Problem, Sample]] = {}
    order: list[Address | Grade] = []
    unknown: list[str] = []
    repeated: list[str] = []
    for item in items:
        problem = finder.find(item)
        name = problem.id if problem else (item.ids or ("?",))[0]
        index = numbers[name] if item.sample is None else item.sample
        numbers[name] = max(numbers[name], index + 1)
        address = (id, name, index)
        if problem is None:
            unknown.append(f"{id}/{name}")
            order.append(Grade(*address, "ungraded", "unknown_problem", None, task.grader.id))
        elif address in pairs:
            repeated.append("/".join(map(str, address)))
        else:
            sample = Sample(*address, 0, item.text, item.num_tokens or 0, item.finish_reason)
            pairs[address] = problem, sample
            order.append(address)
    graded = _grade(task, list(pairs.values()))
    by_address = {(grade.task, grade.problem_id, grade.index): grade for grade in graded}
    num_samples = k or max((index + 1 for _, _, index in pairs), default=1)
    from opdbench.evaluation import score_grades

    metrics = [f"avg@{num_samples}", *(f"pass@{wanted}" for wanted in _checked(pass_k, num_samples, id))]
    kept = [grade for grade in graded if grade.index < num_samples]
    missing = [(id, problem.id, i) for problem in problems for i in range(num_samples)]
    return Scored(
        tuple(item if isinstance(item, Grade) else by_address[item] for item in order),
        score_grades(task, pool, num_samples, metrics, kept),
        {id: beside(task.grader, list(pairs.values()), graded)},
        tuple(dict.fromkeys(unknown)),
        tuple("/".join(map(str, address)) for address in missing if address not in pairs),
        tuple(repeated),
    )


def _checked(pass_k: Sequence[int], num_samples: int, id: str) -> Sequence[int]:
    if any(wanted > num_samples for wanted in pass_k):
        raise ConfigError(f"pass@{max(pass_k)} needs as many samples per problem, and {id} has {num_samples}")
    return pass_k


def _grade(task: Task, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
    starts = range(0, len(items), BATCH)
    return [grade for start in starts for grade in task.grader.grade(items[start : start + BATCH])]


class _Finder:
    """Finds the problem that a completion answers."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._by_id = {problem.id: problem for problem in problems}
        # The longest first: a short prompt may be a part of another one.
        longest = sorted(problems, key=lambda problem: -len(problem.prompt))
        self._prompts = [(_plain(problem.prompt), problem) for problem in longest if problem.prompt.strip()]
        self._seen: dict[str, Problem | None] = {}

    def find(self, item: Completion) -> Problem | None:
        """Return the problem; a prompt, where the file has one, must hold the problem's own."""
        shown = _plain(item.prompt)
        for id in item.ids:
            problem = self._by_id.get(id)
            if problem and (not shown or _plain(problem.prompt) in shown):
                return problem
        if not shown:
            return None
        if shown not in self._seen:
            self._seen[shown] = next((problem for prompt, problem in self._prompts if prompt in shown), None)
        return self._seen[shown]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
