"""What the lab's problems share: a writer of solutions that can slip, and the protocol of a problem."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

DIGITS = "0123456789"


def apply(op: str, left: int, right: int) -> int:
    """Return ``left op right`` for the symbols ``+``, ``-`` and ``*``."""
    if op == "+":
        return left + right
    return left - right if op == "-" else left * right


@dataclass
class Writer:
    """Writes a solution, and slips: at a rate per choice, something else than the right thing is written.

    Attributes:
        rng: Where slips come from.
        rate: Probability that one choice is a slip.
        forced: Index of a choice that is always a slip and the last one; None for no such choice.
        text: What was written so far.
        num_choices: Choices made so far.
        slip_end: Length of the text after the last slip, 0 when there was none.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    rate: float = 0.0
    forced: int | None = None
    text: str = ""
    num_choices: int = 0
    slip_end: int = 0

    def put(self, text: str) -> None:
        """Write a text that nobody gets wrong."""
        self.text += text

    def choose(self, right: str, options: Sequence[str]) -> str:
        """Write ``right``, or by a slip another option, and return what was written."""
        slips = self._slips()
        written = self.rng.choice([option for option in options if option != right]) if slips else right
        self.text += written
        self.slip_end = len(self.text) if slips else self.slip_end
        self.num_choices += 1
        return written

    def _slips(self) -> bool:
        if self.forced is not None and self.num_choices >= self.forced:
            return self.num_choices == self.forced
        return self.rng.random() < self.rate


class LabProblem(Protocol):
    """What the four problem classes share."""

    kind: ClassVar[str]

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        """Return a random problem."""
        ...

    @property
    def prompt(self) -> str:
        """The question as the user asks it."""
        ...

    @property
    def target(self) -> Any:
        """What the task's grader compares with."""
        ...

    def solve(self, out: Writer) -> None:
        """Write the solution in the house style."""
        ...

    def solve_terse(self, out: Writer) -> None:
        """Write the solution in the terse style."""
        ...
