"""The contract of a grader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from opdbench.records import Grade, Problem, Sample


class Grader(Protocol):
    """Turns samples into grades; frozen, hashable settings, no gold answer outside ``Problem.target``.

    A grader never raises on a bad answer: model output is untrusted, so every failure of an answer is a verdict
    with a reason, and every failure of the grader itself is ``ungraded`` with a reason.
    """

    @property
    def id(self) -> str:
        """Name, rule version and the versions of the libraries that decide, for example ``boxed-integer/1``."""
        ...

    def grade(self, items: Sequence[tuple[Problem, Sample]]) -> list[Grade]:
        """Grade many samples, in order."""
        ...

    def gold(self, problem: Problem) -> str:
        """Return a completion that says the problem's own gold answer: ``validate`` demands that it is correct."""
        ...
