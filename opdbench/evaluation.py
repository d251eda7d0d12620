"""One model on one task: sample, grade, score. Every stage goes on from what the one before left on disk.

Samples are drawn in batches that the plan fixes, the unit of resume: a batch that is not whole is drawn again, and
gives the same text. Grades are a separate pass, repeatable without a model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench import stats
from opdbench.engines.engine import Engine, Prompt
from opdbench.graders.judgement import marks_of
from opdbench.method import Sampling
from opdbench.model import Presentation
from opdbench.records import Grade, Pool, Problem, Sample, Score, content_key, derive_seed, to_json
from opdbench.store import RecordLog
from opdbench.task import Task
from opdbench.trainer import Interrupted

NO_ANSWER = "no_answer"
GRADING_BATCH = 512


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
        eval_key: Identifies checkpoint, task version, prompt, sampling and engine; samples are stored under it.
        seed_parts: What sample seeds derive from besides task, problem and index.
    """

    task: Task
    pool: Pool
    k: int
    pass_k: tuple[int, ...]
    sampling: Sampling
    batch_size: int
    eval_key: str
    seed_parts: tuple[str | int, ...]

    def sample_key(self, problem: Problem, index: int) -> str:
        """Return what identifies one sample in the store."""
        return f"{self.eval_key}/{self.task.id}/{problem.id}/{index}"

    @property
    def grader_key(self) -> str:
        """Identify the present grader: another grader grades stored samples anew."""
        return content_key(self.task.grader.id, 8)

    def seed(self, problem: Problem, index: int) -> int:
        """Return the seed of one sample."""
        return derive_seed(*self.seed_parts, "evaluation", self.task.id, problem.id, index)


Items = list[tuple[Problem, int]]
Progress = Callable[[str, int, int], None]
"""(stage, done, of) of one evaluation."""


def eval_key(
    checkpoint_hash: str, task: Task, pool: Pool, sampling: Sampling, engine_id: str, presentation: Presentation
) -> str:
    """Return the key of an evaluation. It leaves k out, so that asking for more samples extends a run."""
    return content_key(
        {
            "checkpoint": checkpoint_hash,
            "task": [task.id, task.version, task.source.revision, task.prompt_hash, pool],
            "sampling": to_json(sampling),
            "engine": engine_id,
            "presentation": presentation.model_dump(),
        }
    )


def batches(evaluation: Evaluation, problems: Sequence[Problem]) -> Iterator[Items]:
    """Yield the fixed batches: all problems once, then all a second time, so that a larger k only adds batches."""
    items = [(problem, index) for index in range(evaluation.k) for problem in problems]
    for start in range(0, len(items), evaluation.batch_size):
        yield items[start : start + evaluation.batch_size]


def draw_samples(
    evaluation: Evaluation,
    engine: Engine,
    log: RecordLog,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Draw what is missing.

    Raises:
        Interrupted: asked to stop; whole batches are stored.
    """
    problems = evaluation.task.load(evaluation.pool)
    stored = log.keys()
    total, done = len(problems) * evaluation.k, 0
    for items in batches(evaluation, problems):
        if any(evaluation.sample_key(*item) not in stored for item in items):
            if stop():
                raise Interrupted
            log.append(_sample_batch(evaluation, engine, items))
        done += len(items)
        progress("sample", done, total)


def _sample_batch(evaluation: Evaluation, engine: Engine, items: Items) -> list[dict[str, Any]]:
    task = evaluation.task
    seeds = [evaluation.seed(*item) for item in items]
    prompts = [Prompt(task.message(problem), seed) for (problem, _), seed in zip(items, seeds, strict=True)]
    replies = engine.complete(prompts, evaluation.sampling)
    samples = [
        Sample(
            task.id,
            problem.id,
            index,
            seed,
            reply.text,
            reply.num_tokens,
            reply.finish_reason,
            reply.num_thinking_tokens,
        )
        for (problem, index), seed, reply in zip(items, seeds, replies, strict=True)
    ]
    return [
        {"key": evaluation.sample_key(*item), **to_json(sample)} for item, sample in zip(items, samples, strict=True)
    ]


def grade_samples(
    evaluation: Evaluation, samples: RecordLog, grades: RecordLog, *, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Grade what has no grade by the present grader.

    Raises:
        Interrupted: asked to stop; whole batches are stored.
    """
    grader = evaluation.task.grader
    stored, found = grades.keys(), stored_samples(evaluation, samples)
    missing = [item for item in found if _grade_key(evaluation, item[1]) not in stored]
    for start in range(0, len(missing), GRADING_BATCH):
        if stop():
            raise Interrupted
        part = missing[start : start + GRADING_BATCH]
        verdicts = grader.grade(part)
        grades.append([{"key": _grade_key(evaluation, grade), **to_json(grade)} for grade in verdicts])
        progress("grade", min(start + GRADING_BATCH, len(missing)), len(missing))


def _grade_key(evaluation: Evaluation, item: Sample | Grade) -> str:
    return f"{evaluation.eval_key}/{evaluation.grader_key}/{item.task}/{item.problem_id}/{item.index}"


def stored_samples(evaluation: Evaluation, log: RecordLog) -> list[tuple[Problem, Sample]]:
    """Return the samples of an evaluation in the order they were planned, those that exist."""
    items = [(problem, i) for problem in evaluation.task.load(evaluation.pool) for i in range(evaluation.k)]
    records = log.find(evaluation.sample_key(*item) for item in items)
    pairs = zip(items, records, strict=True)
    return [(problem, _record_as(Sample, record)) for (problem, _), record in pairs if record is not None]


def stored_grades(evaluation: Evaluation, samples: Sequence[Sample], grades: RecordLog) -> list[Grade]:
    """Return the grades of samples by the present grader, those that exist."""
    records = grades.find(_grade_key(evaluation, sample) for sample in samples)
    return [_record_as(Grade, record) for record in records if record is not None]


def _record_as(kind: Any, record: Mapping[str, Any]) -> Any:
    return kind(**{name: record[name] for name in kind.__slots__ if name in record})


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation came to: scores, correct samples per problem, mean length in the model's tokens, marks."""

    scores: tuple[Score, ...]
    correct: Mapping[str, int]
    mean_tokens: float
    marks: tuple[str, ...] = ()


def score(evaluation: Evaluation, samples: RecordLog, grades: RecordLog) -> Evaluated:
    """Score an evaluation. A sample that is missing or could not be graded leaves the scores undefined."""
    drawn = [sample for _, sample in stored_samples(evaluation, samples)]
    graded = stored_grades(evaluation, drawn, grades)
    k = evaluation.k
    metrics = [f"avg@{k}", *(f"pass@{wanted}" for wanted in evaluation.pass_k if wanted <= k)]
    return Evaluated(
        score_grades(evaluation.task, evaluation.pool, k, metrics, graded),
        {problem: sum(row) for problem, row in sorted(_table(graded).items())},
        sum(sample.num_tokens for sample in drawn) / max(len(drawn), 1),
        marks_of(graded),
    )


def _table(graded: Sequence[Grade]) -> dict[str, list[int]]:
    """Return what each problem's samples came to, ungraded ones left out."""
    table: dict[str, list[int]] = defaultdict(list)
    for grade in graded:
        if grade.verdict != "ungraded":
            table[grade.problem_id].append(int(grade.verdict == "correct"))
    return table


def score_grades(task: Task, pool: Pool, k: int, metrics: Sequence[str], graded: Sequence[Grade]) -> tuple[Score, ...]:
    """Return the scores of grades under some metrics; undefined unless every problem has k that say something."""
    table = _table(graded)
    complete = len(table) == task.num_problems[pool] and all(len(row) == k for row in table.values())
    counts = [sum(row) for row in table.values()] if complete else None
    return tuple(_score(task, pool, k, metric, counts, graded) for metric in metrics)


def _score(task: Task, pool: Pool, k: int, metric: str, counts: Sequence[int] | None, graded: Sequence[Grade]) -> Score:
    values = None if counts is None else stats.metric_values(metric, counts, k)
    found = None if values is None else stats.estimate(values, k)
    return Score(
        task=task.id,
        task_version=task.version,
        metric=metric,
        value=None if found is None else found.value,
        se=None if found is None else found.se,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        num_problems=task.num_problems[pool],
        num_samples=k,
        num_truncated=sum(grade.verdict == "truncated" for grade in graded),
        num_no_answer=sum(grade.reason == NO_ANSWER for grade in graded),
        num_ungraded=sum(grade.verdict == "ungraded" for grade in graded),
    )
