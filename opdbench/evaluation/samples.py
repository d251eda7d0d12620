"""Draws and grades the samples of one evaluation, and reads back what is stored of both.

Samples are drawn in fixed batches, the unit of resume: a batch that is not whole is drawn again, and gives the same
text. Each batch is graded as soon as it is there. Grading alone is repeatable without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opdbench.engines.engine import Engine, Prompt
from opdbench.evaluation.question import Evaluation
from opdbench.records import Grade, Problem, Sample, to_json
from opdbench.store import RecordLog
from opdbench.trainer import Interrupted

GRADING_BATCH = 512

Items = list[tuple[Problem, int]]
Progress = Callable[[str, int, int, float | None], None]
"""(stage, done, of, share of the graded samples that is correct so far) of one evaluation."""


def batches(evaluation: Evaluation, problems: Sequence[Problem]) -> Iterator[Items]:
    """Yield the fixed batches: all problems once, then all a second time, so that a larger k only adds batches."""
    items = [(problem, index) for index in range(evaluation.k) for problem in problems]
    for start in range(0, len(items), evaluation.batch_size):
        yield items[start : start + evaluation.batch_size]


def draw_samples(
    evaluation: Evaluation,
    engine: Engine,
    samples: RecordLog,
    grades: RecordLog,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Draw and grade what is missing, batch by batch; what is stored already is not reported one by one.

    Raises:
        Interrupted: asked to stop; whole batches are stored.
    """
    problems = evaluation.task.load(evaluation.pool)
    total, done, verdicts = len(problems) * evaluation.k, 0, list[str]()
    for items in batches(evaluation, problems):
        if not _is_whole(evaluation, items, samples, grades):
            progress("sample", done, total, _share_correct(verdicts))
            if stop():
                raise Interrupted
            _complete(evaluation, engine, items, samples, grades)
        records = grades.find(evaluation.grade_key(problem.id, index) for problem, index in items)
        verdicts += [record["verdict"] for record in records if record is not None]
        done += len(items)
    progress("sample", total, total, _share_correct(verdicts))


def _share_correct(verdicts: Sequence[str]) -> float | None:
    return verdicts.count("correct") / len(verdicts) if verdicts else None


def _is_whole(evaluation: Evaluation, items: Items, samples: RecordLog, grades: RecordLog) -> bool:
    drawn, graded = samples.keys(), grades.keys()
    return all(
        evaluation.sample_key(problem, index) in drawn and evaluation.grade_key(problem.id, index) in graded
        for problem, index in items
    )


def _complete(evaluation: Evaluation, engine: Engine, items: Items, samples: RecordLog, grades: RecordLog) -> None:
    """Draw a batch where a sample of it is missing, then grade what has no grade."""
    drawn, graded = samples.keys(), grades.keys()
    if any(evaluation.sample_key(*item) not in drawn for item in items):
        samples.append(_sample_batch(evaluation, engine, items))
    open_items = [item for item in items if evaluation.grade_key(item[0].id, item[1]) not in graded]
    records = samples.find(evaluation.sample_key(*item) for item in open_items)
    pairs = zip(open_items, records, strict=True)
    _grade(evaluation, [(item[0], _record_as(Sample, record)) for item, record in pairs if record], grades)


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


def _grade(evaluation: Evaluation, pairs: Sequence[tuple[Problem, Sample]], grades: RecordLog) -> None:
    verdicts = evaluation.task.grader.grade(pairs)
    keys = [evaluation.grade_key(grade.problem_id, grade.index) for grade in verdicts]
    grades.append([{"key": key, **to_json(grade)} for key, grade in zip(keys, verdicts, strict=True)])


def grade_samples(
    evaluation: Evaluation, samples: RecordLog, grades: RecordLog, *, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Grade what has no grade by the present grader; no model is needed.

    Raises:
        Interrupted: asked to stop; whole batches are stored.
    """
    stored, found = grades.keys(), stored_samples(evaluation, samples)
    missing = [item for item in found if evaluation.grade_key(item[1].problem_id, item[1].index) not in stored]
    for start in range(0, len(missing), GRADING_BATCH):
        if stop():
            raise Interrupted
        _grade(evaluation, missing[start : start + GRADING_BATCH], grades)
        progress("grade", min(start + GRADING_BATCH, len(missing)), len(missing), None)


def stored_samples(evaluation: Evaluation, log: RecordLog) -> list[tuple[Problem, Sample]]:
    """Return the samples of an evaluation in the order they were planned, those that exist."""
    items = [(problem, i) for problem in evaluation.task.load(evaluation.pool) for i in range(evaluation.k)]
    records = log.find(evaluation.sample_key(*item) for item in items)
    pairs = zip(items, records, strict=True)
    return [(problem, _record_as(Sample, record)) for (problem, _), record in pairs if record is not None]


def stored_grades(evaluation: Evaluation, samples: Sequence[Sample], grades: RecordLog) -> list[Grade]:
    """Return the grades of samples by the present grader, those that exist."""
    records = grades.find(evaluation.grade_key(sample.problem_id, sample.index) for sample in samples)
    return [_record_as(Grade, record) for record in records if record is not None]


def _record_as(kind: Any, record: Mapping[str, Any]) -> Any:
    return kind(**{name: record[name] for name in kind.__slots__ if name in record})
