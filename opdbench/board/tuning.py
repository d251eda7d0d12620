"""The records of a search: what it tried, what it chose, and what the choices reached on the board's own terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from opdbench.board.compare import Scores, estimate, macro
from opdbench.board.evidence import checkpoint_at
from opdbench.board.figures import steady
from opdbench.budget import Axis
from opdbench.config import TuningSettings
from opdbench.records import Result, content_key

COLLAPSED = 0.5
"""A row that stays under this part of the untrained student's score has collapsed."""
ENOUGH = 3
"""Learning rates that must have been tried before a collapse is claimed."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reached(_Record):
    """Macro average and scores by task; None and absent where a sample is not graded."""

    score: float | None
    tasks: dict[str, float]


class TriedSetting(Reached):
    """One trial: its setting, how it ended, its validation scores, and its spend on the budget's axis."""

    key: str
    learning_rate: float
    config: dict[str, Any]
    status: Literal["done", "diverged", "failed"]
    spend: float


class Answers(_Record):
    """Right samples by problem, in the order of the problems' ids, whose digest is ``problems``."""

    k: int
    problems: str
    correct: tuple[int, ...]


class FinalRun(Reached):
    """One seed of a row at its chosen setting, evaluated as the board evaluates."""

    key: str
    seed: int
    spend: float
    answers: dict[str, Answers]


class FinalScore(_Record):
    """A row at its chosen setting over the board's seeds: macro average with the interval that the board uses."""

    score: float
    low: float | None
    high: float | None
    runs: tuple[FinalRun, ...]

    def table(self, task: str) -> Scores:
        """Return the seeds x problems shares of one task."""
        return np.array([run.answers[task].correct for run in self.runs]) / self.runs[0].answers[task].k


class RowTuning(_Record):
    """The search of one row: its own learning rate, all trials, the one chosen, and the final score of that."""

    student: str
    learning_rate: float
    trials: tuple[TriedSetting, ...]
    chosen: int | None
    spend: float
    final: FinalScore | None

    def rates(self) -> list[TriedSetting]:
        """Return the trials at the row's own constants that ended well; one that diverged has no score to show."""
        return [
            trial for trial in self.trials if not trial.config and trial.score is not None and trial.status == "done"
        ]


class Tuning(_Record):
    """The whole file."""

    format: Literal["opdbench-tuning/1"] = "opdbench-tuning/1"
    board: str
    protocol: str
    axis: Axis
    limit: float
    pool: Literal["validation"] = "validation"
    space: TuningSettings
    students: dict[str, Reached]
    rows: dict[str, RowTuning]
    marks: tuple[str, ...] = ()

    def collapses(self, row: str) -> bool:
        """Whether at least three learning rates were run, and each diverged or stays under half of the student."""
        found = self.rows[row]
        untrained = self.students[found.student].score
        scores = [trial.score for trial in found.rates() if trial.score is not None]
        diverged = [trial for trial in found.trials if not trial.config and trial.status == "diverged"]
        if untrained is None or len(scores) + len(diverged) < ENOUGH:
            return False
        return all(score < COLLAPSED * untrained for score in scores)


def reached(result: Result) -> Reached:
    """Return the avg@k of a run's last checkpoint."""
    scores = [score for score in result.checkpoints[-1].scores if score.metric.startswith("avg@")]
    tasks = {score.task: score.value for score in scores if score.value is not None and not score.num_ungraded}
    complete = bool(scores) and len(tasks) == len(scores)
    return Reached(score=steady(sum(tasks.values()) / len(tasks)) if complete else None, tasks=tasks)


def final_score(results: Sequence[Result], seeds: Sequence[int]) -> FinalScore | None:
    """Return the final score of a row; None unless every seed is done and graded whole."""
    found = {run.seed: _final_run(run) for run in results if run.status == "done"}
    runs = tuple(found[seed] for seed in seeds if seed in found and found[seed].score is not None)
    if len(runs) < len(seeds):
        return None
    final = FinalScore(score=0.0, low=None, high=None, runs=runs)
    value = estimate(macro([final.table(task) for task in runs[0].answers]))
    low, high = (None if end is None else steady(end) for end in (value.low, value.high))
    return final.model_copy(update={"score": steady(value.value), "low": low, "high": high})


def _final_run(result: Result) -> FinalRun:
    last = checkpoint_at(result, 1.0) or result.checkpoints[-1]
    answers = {task: _answers(last.samples[task], correct) for task, correct in last.correct.items()}
    return FinalRun(
        **dict(reached(result)), key=result.key, seed=result.seed, spend=result.budget["spend"], answers=answers
    )


def _answers(k: int, correct: Mapping[str, int]) -> Answers:
    problems = sorted(correct)
    return Answers(k=k, problems=content_key(problems), correct=tuple(correct[name] for name in problems))
