"""From grades to scores; a sample that is missing or could not be graded leaves them undefined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opdbench import stats
from opdbench.evaluation.question import Evaluation
from opdbench.evaluation.samples import stored_grades, stored_samples
from opdbench.graders.judgement import marks_of
from opdbench.records import Grade, Pool, Score
from opdbench.store import RecordLog
from opdbench.task import Task

NO_ANSWER = "no_answer"


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
