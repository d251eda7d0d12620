"""Outcomes of training texts: each task's own grader, called once for all its texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from opdbench.records import Sample
from opdbench.trainer import TrainingProblem

Graded = tuple[TrainingProblem, Sample]
"""A problem and an answer to it."""


def as_sample(
    problem: TrainingProblem, text: str, num_tokens: int, *, number: int = 0, truncated: bool = False
) -> Sample:
    """Return a training text as what graders take."""
    finish = "length" if truncated else "stop"
    return Sample(problem.task.id, problem.problem.id, number, 0, text, num_tokens, finish)


def outcomes(items: Sequence[Graded]) -> list[float]:
    """Return 1.0 for each answer that is correct and 0.0 for the others, in order."""
    rewards = [0.0] * len(items)
    by_task: dict[str, list[int]] = defaultdict(list)
    for i, (problem, _) in enumerate(items):
        by_task[problem.task.id].append(i)
    for members in by_task.values():
        grader = items[members[0]][0].task.grader
        grades = grader.grade([(items[i][0].problem, items[i][1]) for i in members])
        for i, grade in zip(members, grades, strict=True):
            rewards[i] = float(grade.verdict == "correct")
    return rewards
