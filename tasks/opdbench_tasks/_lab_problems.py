"""Problems of the lab and the solvers that write them out, cleanly or with slips.

Each problem class draws itself from a generator, says its prompt and target, and solves itself twice: ``solve``
writes the house style (every operand, every step), ``solve_terse`` writes a style of fewer words on the same
answers. The shipped models learn from these solvers; the tasks use the clean ``solve`` as reference solution.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from opdbench_tasks._lab_functions import Function
from opdbench_tasks._lab_writer import DIGITS, LabProblem, Writer, apply


@dataclass(frozen=True)
class Addition:
    """Two numbers of equal length, added column by column from the right."""

    kind: ClassVar[str] = "add"
    left: str
    right: str

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        """Return two numbers of three or four digits."""
        length = rng.choice((3, 4))
        low = 10 ** (length - 1)
        return cls(str(rng.randrange(low, 10 * low)), str(rng.randrange(low, 10 * low)))

    @property
    def prompt(self) -> str:
        """The question as the user asks it."""
        return f"Add {self.left} and {self.right}"

    @property
    def target(self) -> str:
        """The sum."""
        return str(int(self.left) + int(self.right))

    def solve(self, out: Writer) -> None:
        """Write ``7+9=16,4+5+1=10``: both digits and the carry of every column, then the sum."""
        self._columns(out, terse=False)

    def solve_terse(self, out: Writer) -> None:
        """Write ``16,10``: the sum of every column, then the sum."""
        self._columns(out, terse=True)

    def _columns(self, out: Writer, terse: bool) -> None:
        written, digits = "", ""
        for left, right in zip(reversed(self.left), reversed(self.right), strict=True):
            carry = int(written) // 10 if written else 0
            out.put("," if written else "")
            if not terse:
                out.put(left + "+")
                right = out.choose(right, DIGITS)
                out.put(f"+{carry}=" if written else "=")
            total = str(int(left) + int(right) + carry)
            # A wrong 1 for a right 15 would be a right beginning.
            written = out.choose(total, [str(value) for value in range(20) if not total.startswith(str(value))])
            digits = str(int(written) % 10) + digits
        out.put("\n\\boxed{" + str(int(written) // 10 or "") + digits + "}")


@dataclass(frozen=True)
class Program:
    """A straight-line program of single digits, every line on the one before; the answer is the last two values."""

    kind: ClassVar[str] = "run"
    names: ClassVar[str] = "abcde"
    first: int
    lines: tuple[tuple[str, str], ...]

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        """Return a program of three or four lines after the first assignment."""
        lines: list[tuple[str, str]] = []
        for index in range(rng.choice((3, 4))):
            right = rng.choice(cls.names[: index + 1]) if rng.random() < 0.4 else str(rng.randrange(2, 10))
            lines.append((rng.choice("+-*"), right))
        return cls(rng.randrange(10), tuple(lines))

    @property
    def prompt(self) -> str:
        """The question as the user asks it."""
        lines = (
            f";{name}={previous}{op}{right}"
            for previous, name, (op, right) in zip(self.names, self.names[1:], self.lines, strict=False)
        )
        return f"Run mod 10: a={self.first}" + "".join(lines)

    @property
    def target(self) -> str:
        """The values of the last two names, as a pair."""
        out = Writer()
        self.solve(out)
        return out.text.split("{")[1].rstrip("}")

    def solve(self, out: Writer) -> None:
        """Write ``b=3+5=8``: names replaced by values, then the value, for every line."""
        self._values(out, terse=False)

    def solve_terse(self, out: Writer) -> None:
        """Write ``b=8``: the value of every line."""
        self._values(out, terse=True)

    def _values(self, out: Writer, terse: bool) -> None:
        values = [str(self.first)]
        out.put(f"a={self.first}")
        for name, (op, other) in zip(self.names[1:], self.lines, strict=False):
            left, right = values[-1], other if other in DIGITS else values[self.names.index(other)]
            out.put(f",{name}=")
            if not terse:
                left = out.choose(left, DIGITS)
                out.put(f"{op}{right}=")
            values.append(out.choose(str(apply(op, int(left), int(right)) % 10), DIGITS))
        out.put(f"\n\\boxed{{({values[-2]},{values[-1]})}}")


@dataclass(frozen=True)
class Extreme:
    """Four numbers under letters; the answer is the letter of the largest or the smallest."""

    kind: ClassVar[str] = "choice"
    letters: ClassVar[str] = "ABCD"
    largest: bool
    numbers: tuple[int, ...]

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        """Return four different numbers of two digits."""
        return cls(rng.random() < 0.5, tuple(rng.sample(range(10, 100), 4)))

    @property
    def prompt(self) -> str:
        """The question as the user asks it."""
        options = ",".join(f"{letter}={number}" for letter, number in zip(self.letters, self.numbers, strict=True))
        return f"Which is {'largest' if self.largest else 'smallest'}? {options}"

    @property
    def target(self) -> str:
        """The letter of the largest or smallest number."""
        best = max(self.numbers) if self.largest else min(self.numbers)
        return self.letters[self.numbers.index(best)]

    def solve(self, out: Writer) -> None:
        """Write ``47,83<B``: the best number so far, the next one, how they compare, the letter of the better."""
        best = 0
        for index in range(1, 4):
            left, right = self.numbers[best], self.numbers[index]
            out.put(f"{';' if index > 1 else ''}{left},{right}")
            sign = out.choose("<" if left < right else ">", "<>")
            better = index if (sign == "<") == self.largest else best
            best = self.letters.index(out.choose(self.letters[better], self.letters))
        out.put(f"\n\\boxed{{{self.letters[best]}}}")

    def solve_terse(self, out: Writer) -> None:
        """Write ``A<B``: letters only."""
        best = 0
        for index in range(1, 4):
            out.put(f"{',' if index > 1 else ''}{self.letters[best]}")
            sign = out.choose("<" if self.numbers[best] < self.numbers[index] else ">", "<>")
            out.put(self.letters[index])
            best = index if (sign == "<") == self.largest else best
        out.put(f"\n\\boxed{{{self.letters[best]}}}")


KINDS: dict[str, type[LabProblem]] = {kind.kind: kind for kind in (Addition, Program, Extreme, Function)}
