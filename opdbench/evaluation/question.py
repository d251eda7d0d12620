"""What is asked of one checkpoint, and the keys under which its answers and their grades are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from opdbench.method import Sampling
from opdbench.model import Presentation
from opdbench.records import Pool, Problem, content_key, derive_seed, to_json
from opdbench.task import Generated, Task


@dataclass(frozen=True, slots=True)
class Digests:
    """What the data of a task say, whatever file they came from: a changed local copy is another question.

    Attributes:
        prompts: Of all problem ids with their prompts; samples are stored under it.
        targets: Of all problem ids with their gold answers; grades are stored under it.
    """

    prompts: str
    targets: str


def data_digests(task: Task, pool: Pool) -> Digests | None:
    """Return the digests of a pool; None for generated rows, which their revision determines.

    Raises:
        DataError: the data are not here, or not those that were pinned.
    """
    if isinstance(task.source, Generated):
        return None
    problems = sorted(task.load(pool), key=lambda problem: problem.id)
    return Digests(
        _digest([item.id, item.prompt] for item in problems), _digest([item.id, item.target] for item in problems)
    )


def _digest(values: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(_written(value)).encode("ascii") + b"\n")
    return digest.hexdigest()[:16]


def _written(value: Any) -> Any:
    """Return a value as JSON can say it, in one order: tests of programs hold sets, and keys that are no text."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return sorted(([repr(key), _written(item)] for key, item in pairs), key=lambda pair: pair[0])
    if isinstance(value, set | frozenset):
        return sorted(map(repr, cast("set[Any]", value)))
    if isinstance(value, list | tuple):
        return [_written(item) for item in cast("list[Any]", value)]
    return value if value is None or isinstance(value, str | int | float) else repr(value)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint on one task under one protocol.

    Attributes:
        task: What is asked.
        pool: Which of its pools.
        k: Samples per problem.
        pass_k: The k of every pass@k that is reported.
        sampling: How tokens are drawn, ``max_tokens`` included.
        batch_size: Samples of one engine call.
        eval_key: Identifies checkpoint, task version, data, prompt, sampling and engine; samples are stored under it.
        seed_parts: What sample seeds derive from besides task, problem and index.
        data: What the data say, None for generated ones.
    """

    task: Task
    pool: Pool
    k: int
    pass_k: tuple[int, ...]
    sampling: Sampling
    batch_size: int
    eval_key: str
    seed_parts: tuple[str | int, ...]
    data: Digests | None = None

    def sample_key(self, problem: Problem, index: int) -> str:
        """Return what identifies one sample in the store."""
        return f"{self.eval_key}/{self.task.id}/{problem.id}/{index}"

    @property
    def grader_key(self) -> str:
        """Identify the present grader and gold answers: others grade stored samples anew."""
        grader = self.task.grader.id
        return content_key(grader if self.data is None else [grader, self.data.targets], 8)

    def grade_key(self, problem_id: str, index: int) -> str:
        """Return what identifies the present grade of one sample in the store."""
        return f"{self.eval_key}/{self.grader_key}/{self.task.id}/{problem_id}/{index}"

    def seed(self, problem: Problem, index: int) -> int:
        """Return the seed of one sample."""
        return derive_seed(*self.seed_parts, "evaluation", self.task.id, problem.id, index)


def eval_key(
    checkpoint_hash: str,
    task: Task,
    pool: Pool,
    sampling: Sampling,
    engine_id: str,
    presentation: Presentation,
    data: Digests | None = None,
) -> str:
    """Return the key of an evaluation. It leaves k out, so that asking for more samples extends a run."""
    question = {
        "checkpoint": checkpoint_hash,
        "task": [task.id, task.version, task.source.revision, task.prompt_hash, pool],
        "sampling": to_json(sampling),
        "engine": engine_id,
        "presentation": presentation.model_dump(),
    }
    return content_key(question if data is None else question | {"data": data.prompts})
