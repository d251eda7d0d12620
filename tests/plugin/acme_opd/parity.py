"""Parity: is a number odd or even? A task with a grader of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opdbench.api import Generated, Grade, Pool, Problem, Sample, Task


class LastWord:
    """The last word of the answer decides."""

    id = "acme-last-word/1"

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade many samples, in order."""
        return [self._grade(problem, sample) for problem, sample in items]

    def gold(self, problem: Problem) -> str:
        """Return a completion that is right."""
        return f"It is {problem.target}"

    def _grade(self, problem: Problem, sample: Sample) -> Grade:
        words = sample.text.split()
        answer = words[-1].strip(".").lower() if words else None
        verdict = "correct" if answer == problem.target else "wrong"
        reason = "last_word" if words else "no_answer"
        return Grade(sample.task, sample.problem_id, sample.index, verdict, reason, answer, self.id)


def rows(pool: Pool) -> Iterator[Mapping[str, Any]]:
    """Make the numbers of a pool."""
    return ({"number": 7 * i + (pool == "test")} for i in range(20))


def problem(row: Mapping[str, Any]) -> Problem:
    """Word one row."""
    number = row["number"]
    return Problem(id=str(number), prompt=f"Is {number} odd or even?", target="odd" if number % 2 else "even")


PARITY = Task(
    id="acme_parity",
    title="Parity",
    source=Generated(rows, version=1),
    problem=problem,
    grader=LastWord(),
    num_problems={"train": 20, "test": 20},
    k=4,
    version=1,
    licence="CC0-1.0",
    released="2026-01-01",
    reference="made up",
)
