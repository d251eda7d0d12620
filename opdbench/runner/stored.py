"""Reads what a cell or an evaluation has stored, and grades it again without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from opdbench import registry
from opdbench.errors import ConfigError, DataError
from opdbench.evaluation import Digests, Evaluation, data_digests, grade_samples, score, stored_grades, stored_samples
from opdbench.method import Sampling
from opdbench.records import CheckpointResult, Grade, Pool, Problem, Result, Sample, Score, result_from_json, to_json
from opdbench.runner.cell import RESULT, Event
from opdbench.store import CellStore
from opdbench.task import Task

REGRADING = "regrading"
"""Log of a grading that is not finished."""


@dataclass(frozen=True, slots=True)
class Change:
    """A grade that a new grading changed."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Regraded:
    """What a new grading found: how many samples it graded, and every verdict that differs."""

    num_samples: int
    changed: tuple[Change, ...]
    scores: tuple[Score, ...]


def _ignore(event: Event) -> None:
    """Report nothing."""


def _quiet(stage: str, done: int, total: int, share: float | None) -> None:
    """Report nothing."""


def _never() -> bool:
    """Do not stop."""
    return False


def _stored_result(store: CellStore) -> Result:
    data: Any = store.read_json(RESULT)
    if data is None:
        raise DataError(f"{store.directory} holds no finished result; name a cell's directory or one that eval wrote")
    return result_from_json(data)


def _evaluations(result: Result, tasks: Sequence[str]) -> Iterator[tuple[int, Evaluation]]:
    """Yield every stored evaluation with the number of its checkpoint."""
    listed: dict[str, Mapping[str, Any]] = {task["id"]: task for task in result.cell["evaluation"]["tasks"]}
    for id in tasks:
        if id not in listed:
            raise ConfigError(f"task {id!r} was not evaluated here; there are {', '.join(listed)}")
    for number, checkpoint in enumerate(result.checkpoints):
        for id, stored in listed.items():
            if tasks and id not in tasks:
                continue
            task: Task = registry.load("tasks", id)
            if task.version != stored["version"]:
                raise DataError(
                    f"{id} was sampled at version {stored['version']} and is now {task.version}: sample again"
                )
            data = _same_data(task, stored["pool"], result.provenance.get("data", {}).get(id))
            pass_k = tuple(
                int(found.metric[5:]) for found in checkpoint.scores if found.task == id and found.metric[:5] == "pass@"
            )
            yield (
                number,
                Evaluation(
                    task,
                    stored["pool"],
                    checkpoint.samples[id],
                    pass_k,
                    Sampling(),
                    1,
                    checkpoint.eval_key[id],
                    (),
                    data,
                ),
            )


def _same_data(task: Task, pool: Pool, stored: Mapping[str, str] | None) -> Digests | None:
    """Return what the data say now; gold answers may have changed since, prompts may not."""
    data = data_digests(task, pool)
    if data is not None and stored is not None and data.prompts != stored["prompts"]:
        raise DataError(
            f"{task.id}: its {pool} pool holds other prompts ({data.prompts}) than those that were sampled "
            f"({stored['prompts']}); name the data of then with --data-dir, or sample again"
        )
    return data if stored is not None else None


def regrade(directory: Path, *, tasks: Sequence[str] = (), on_event: Callable[[Event], None] = _ignore) -> Regraded:
    """Grade all stored samples anew with the present graders, without a model, and store what came out.

    The new grades are written beside the old ones and take their place when all are there: an interruption loses
    nothing, and the command starts anew.

    Raises:
        OPDBenchError: the directory holds no result, is in use, or was sampled from another version of a task.
    """
    store = CellStore(directory)
    result, changed, count = _stored_result(store), list[Change](), 0
    checkpoints = list(result.checkpoints)
    with store.lock():
        store.remove_log(REGRADING)
        samples, old, grades = store.log("samples"), store.log("grades"), store.log(REGRADING)
        verdicts = {_without_grader(record): record["verdict"] for record in old.records()}
        data = dict(result.provenance.get("data", {}))
        for number, evaluation in _evaluations(result, ()):
            data |= {} if evaluation.data is None else {evaluation.task.id: asdict(evaluation.data)}
            grade_samples(evaluation, samples, grades, progress=_quiet, stop=_never)
            drawn = [sample for _, sample in stored_samples(evaluation, samples)]
            graded = stored_grades(evaluation, drawn, grades)
            count += len(graded)
            changed += _changes(evaluation.eval_key, graded, verdicts)
            checkpoints[number] = _rescored(checkpoints[number], evaluation, samples, grades)
            on_event(_grading(result, (number + 1) / len(checkpoints), evaluation.task.id))
        regraded = {_without_grader(record) for record in grades.records()}
        grades.append([record for record in old.records() if _without_grader(record) not in regraded])
        if len(grades):
            store.swap_log("grades", REGRADING)
        made_with = {**result.provenance, **({"data": data} if data else {})}
        store.write_json(RESULT, to_json(replace(result, checkpoints=tuple(checkpoints), provenance=made_with)))
    wanted = [change for change in changed if not tasks or change.key.split("/")[0] in tasks]
    return Regraded(count, tuple(wanted), checkpoints[-1].scores)


def _without_grader(record: Mapping[str, Any]) -> str:
    """Return the key of a stored grade without the part that names its grader."""
    evaluation, _, address = record["key"].split("/", 2)
    return f"{evaluation}/{address}"


def _changes(eval_key: str, graded: Sequence[Grade], verdicts: Mapping[str, str]) -> list[Change]:
    pairs = [(grade, verdicts.get(f"{eval_key}/{grade.key}")) for grade in graded]
    return [Change(grade.key, old, grade.verdict) for grade, old in pairs if old not in (None, grade.verdict)]


def _grading(result: Result, fraction: float, task: str) -> Event:
    return {
        "event": "progress",
        "cell": result.key,
        "row": result.row,
        "seed": result.seed,
        "stage": "grade",
        "fraction": fraction,
        "detail": task,
        "metrics": {},
    }


def _rescored(checkpoint: CheckpointResult, evaluation: Evaluation, samples: Any, grades: Any) -> CheckpointResult:
    found, id = score(evaluation, samples, grades), evaluation.task.id
    scores = tuple(
        next((new for new in found.scores if (new.task, new.metric) == (old.task, old.metric)), old)
        for old in checkpoint.scores
    )
    return replace(
        checkpoint,
        scores=scores,
        correct={**checkpoint.correct, id: found.correct},
        graders={**checkpoint.graders, id: evaluation.task.grader.id},
    )


def open_cell(directory: Path, tasks: Sequence[str] = ()) -> Iterator[tuple[Problem, Sample, Grade | None]]:
    """Yield the samples of a cell's last checkpoint with their problems and grades.

    Raises:
        OPDBenchError: the directory holds no result.
    """
    store = CellStore(directory)
    result = _stored_result(store)
    samples, grades = store.log("samples"), store.log("grades")
    for number, evaluation in _evaluations(result, tasks):
        if number != len(result.checkpoints) - 1:
            continue
        drawn = stored_samples(evaluation, samples)
        graded = {grade.key: grade for grade in stored_grades(evaluation, [sample for _, sample in drawn], grades)}
        for problem, sample in drawn:
            yield problem, sample, graded.get(sample.key)
