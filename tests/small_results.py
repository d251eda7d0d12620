"""A stored evaluation of two made-up samples, one of them with a wrong grade."""

from __future__ import annotations

from pathlib import Path

from opdbench import registry
from opdbench.evaluation import Evaluation, grade_samples, score
from opdbench.method import Sampling
from opdbench.records import SCHEMA, CheckpointResult, Result, Sample, to_json
from opdbench.runner.cell import RESULT
from opdbench.store import CellStore

TASK = "lab_add"


def stored_result(directory: Path) -> Path:
    task = registry.load("tasks", TASK)
    first, second = task.load("test")[:2]
    evaluation = Evaluation(task, "test", 1, (), Sampling(), 1, "key", ())
    store = CellStore(directory)
    with store.lock():
        samples, grades = store.log("samples"), store.log("grades")
        for problem, text in ((first, task.grader.gold(first)), (second, "no answer")):
            sample = Sample(TASK, problem.id, 0, 0, text, 5, "stop")
            samples.append([{"key": evaluation.sample_key(problem, 0), **to_json(sample)}])
        grade_samples(evaluation, samples, grades, progress=lambda *_: None, stop=lambda: False)
        found = score(evaluation, samples, grades)
        (right, other) = grades.records()
        grades.truncate_to(0)
        grades.append([{**right, "verdict": "wrong"}, other, {**other, "key": "other/x/other_task/p/0"}])
        checkpoint = CheckpointResult(
            1.0, 0.0, 0, "hash", {TASK: "key"}, found.scores, {TASK: found.correct}, {TASK: 1}, {TASK: 5.0}, "", {}
        )
        cell = {"evaluation": {"tasks": [{"id": TASK, "version": task.version, "pool": "test"}]}}
        result = Result(SCHEMA, "", "row", 0, "k", "done", cell, {}, {}, {}, {}, (checkpoint,))
        store.write_json(RESULT, to_json(result))
    return directory
