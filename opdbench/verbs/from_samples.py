"""``eval --from-samples``: grades completions that were made elsewhere by the graders of the tasks they answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from opdbench import registry
from opdbench.errors import ConfigError, DataError, PluginError
from opdbench.graders.beside import Beside, beside
from opdbench.interop.lighteval_export import PREFIX
from opdbench.records import Grade, Pool, Problem, Sample, Score
from opdbench.task import Task
from opdbench.verbs.finder import Finder
from opdbench.verbs.sample_files import Completion, read_completions

BATCH = 512
MAX_LISTED = 20
"""Missing and unknown samples that are named; the others are counted."""
Address = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a file of completions came to.

    Attributes:
        grades: One per completion, in the order of the file; ``ungraded`` with reason ``unknown_problem`` where the
            task has no such problem.
        scores: Per task and metric; undefined where a sample is missing or could not be graded.
        beside: Per task, what stands beside the headline.
        unknown: Lines that name no problem of their task, as ``task/id``; the first of ``num_unknown``.
        missing: Samples that the file lacks, as ``task/problem/number``; the first of ``num_missing``.
        repeated: Samples that the file has twice; the first counts.
        left_out: Completions of tasks that were not asked for, counted by task.
        private: Tasks whose text must not be published: what is written for others holds no answers to them.
    """

    grades: tuple[Grade, ...]
    scores: tuple[Score, ...]
    beside: Mapping[str, Beside]
    unknown: tuple[str, ...]
    num_unknown: int
    missing: tuple[str, ...]
    num_missing: int
    repeated: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    private: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, which may be passed on: answers to private tasks are withheld."""
        return {
            "grades": [self._grade_json(grade) for grade in self.grades],
            "scores": [asdict(score) for score in self.scores],
            "beside": {task: asdict(found) for task, found in self.beside.items()},
            "unknown": list(self.unknown),
            "num_unknown": self.num_unknown,
            "missing": list(self.missing),
            "num_missing": self.num_missing,
            "repeated": list(self.repeated),
            "left_out": dict(self.left_out),
        }

    def _grade_json(self, grade: Grade) -> dict[str, Any]:
        values = {"sample" if name == "index" else name: value for name, value in asdict(grade).items()}
        return values | ({"answer": None} if grade.task in self.private else {})


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
        DataError: the file cannot be read, names no task, or numbers a sample beyond k or beyond its own length.
        PluginError: a task is not installed.
        ConfigError: a task lacks the pool, or pass@k asks for more samples than there are.
    """
    for id in tasks:
        registry.find("tasks", id)
    sorted_out: dict[str, list[Completion]] = defaultdict(list)
    left_out = Counter[str]()
    completions = read_completions(path)
    for item in completions:
        task = _task(item, tasks, path)
        if not tasks or task in tasks:
            sorted_out[task].append(item)
        else:
            left_out[task] += 1
    if not sorted_out:
        raise DataError(f"{path} holds no completion of {', '.join(tasks)}; it has {', '.join(left_out)}")
    numbers = _Numbers(path, k, len(completions))
    parts = [_score_task(id, items, pool, numbers, pass_k) for id, items in sorted_out.items()]
    return _joined(parts, left_out)


def _joined(parts: Sequence[Scored], left_out: Mapping[str, int]) -> Scored:
    return Scored(
        tuple(grade for part in parts for grade in part.grades),
        tuple(score for part in parts for score in part.scores),
        {id: found for part in parts for id, found in part.beside.items()},
        tuple(item for part in parts for item in part.unknown)[:MAX_LISTED],
        sum(part.num_unknown for part in parts),
        tuple(item for part in parts for item in part.missing)[:MAX_LISTED],
        sum(part.num_missing for part in parts),
        tuple(item for part in parts for item in part.repeated),
        dict(left_out),
        frozenset(task for part in parts for task in part.private),
    )


def _task(item: Completion, tasks: Sequence[str], path: Path) -> str:
    for name in (item.task, item.task.removeprefix(PREFIX)):
        if name in registry.available("tasks"):
            return name
    if len(tasks) == 1:
        return tasks[0]
    if not item.task:
        raise DataError(f"{path}:{item.line}: names no task; say which with --tasks")
    try:
        registry.find("tasks", item.task)
    except PluginError as error:
        raise PluginError(f"{path}:{item.line}: say with --tasks which task such rows answer; {error}") from None
    return item.task


@dataclass(frozen=True, slots=True)
class _Numbers:
    """How samples may be numbered: below ``k``, or below the completions of the file, which no count can exceed."""

    path: Path
    k: int | None
    num_completions: int

    def check(self, item: Completion, problem: str, number: int) -> None:
        """Refuse a number that is too large.

        Raises:
            DataError: it is not below the limit.
        """
        if number >= (self.k or self.num_completions):
            limit = f"k is {self.k}" if self.k else f"the file holds {self.num_completions} completions"
            raise DataError(
                f"{self.path}:{item.line}: sample {number} of {problem}, and {limit}; samples are numbered from 0"
            )


@dataclass(frozen=True, slots=True)
class _Matched:
    """Completions of one task: ``order`` has the address of each, or its grade where it answers no problem."""

    pairs: dict[Address, tuple[Problem, Sample]] = field(default_factory=dict[Address, tuple[Problem, Sample]])
    order: list[Address | Grade] = field(default_factory=list["Address | Grade"])
    unknown: list[str] = field(default_factory=list[str])
    repeated: list[str] = field(default_factory=list[str])


def _match(task: Task, items: Sequence[Completion], problems: Sequence[Problem], numbers: _Numbers) -> _Matched:
    """Give every completion its problem and its number."""
    finder, counts, found = Finder(problems, task.other_names), Counter[tuple[str, bool]](), _Matched()
    for item in items:
        problem = finder.find(item)
        name = problem.id if problem else (item.ids or ("?",))[0]
        counted = name, problem is None
        index = counts[counted] if item.sample is None else item.sample
        counts[counted] = max(counts[counted], index + 1)
        address = (task.id, name, index)
        if problem is None:
            found.unknown.append(f"{task.id}/{name}")
            found.order.append(Grade(*address, "ungraded", "unknown_problem", None, task.grader.id))
            continue
        numbers.check(item, name, index)
        if address in found.pairs:
            found.repeated.append("/".join(map(str, address)))
        else:
            sample = Sample(*address, 0, item.text, item.num_tokens or 0, item.finish_reason)
            found.pairs[address] = problem, sample
            found.order.append(address)
    return found


def _score_task(id: str, items: Sequence[Completion], pool: Pool, numbers: _Numbers, pass_k: Sequence[int]) -> Scored:
    task: Task = registry.load("tasks", id)
    if pool not in task.num_problems:
        raise ConfigError(f"{id} has no {pool} pool; it has {', '.join(task.num_problems)}")
    problems = task.load(pool)
    found = _match(task, items, problems, numbers)
    pairs = found.pairs
    graded = _grade(task, list(pairs.values()))
    by_address = {(grade.task, grade.problem_id, grade.index): grade for grade in graded}
    num_samples = numbers.k or max((index + 1 for _, _, index in pairs), default=1)
    from opdbench.evaluation import score_grades

    metrics = [f"avg@{num_samples}", *(f"pass@{wanted}" for wanted in _checked(pass_k, num_samples, id))]
    return Scored(
        tuple(item if isinstance(item, Grade) else by_address[item] for item in found.order),
        score_grades(task, pool, num_samples, metrics, graded),
        {id: beside(task.grader, list(pairs.values()), graded)},
        tuple(found.unknown[:MAX_LISTED]),
        len(found.unknown),
        tuple(islice(_missing(id, problems, num_samples, pairs), MAX_LISTED)),
        len(problems) * num_samples - len(pairs),
        tuple(found.repeated),
        private=frozenset([id] if task.is_private_text else []),
    )


def _missing(id: str, problems: Sequence[Problem], num_samples: int, pairs: Mapping[Address, Any]) -> Iterator[str]:
    for problem in problems:
        for index in range(num_samples):
            if (id, problem.id, index) not in pairs:
                yield f"{id}/{problem.id}/{index}"


def _checked(pass_k: Sequence[int], num_samples: int, id: str) -> Sequence[int]:
    if any(wanted > num_samples for wanted in pass_k):
        raise ConfigError(f"pass@{max(pass_k)} needs as many samples per problem, and {id} has {num_samples}")
    return pass_k


def _grade(task: Task, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
    starts = range(0, len(items), BATCH)
    return [grade for start in starts for grade in task.grader.grade(items[start : start + BATCH])]
