"""The lab's programming problems: a nested expression that becomes a Python function."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from opdbench_tasks._lab_writer import DIGITS, Writer, apply

SYMBOLS = {"add": "+", "sub": "-", "mul": "*"}
ARGUMENTS = ((2, 5), (7, 3), (-4, 6), (9, -8))
Tree = tuple[str, Any, Any]


@dataclass(frozen=True)
class Function:
    """A nested expression of ``x`` and ``y``, to be written as a Python function."""

    kind: ClassVar[str] = "code"
    leaves: ClassVar[str] = "xy123456789"
    temporaries: ClassVar[str] = "tuv"
    tree: Tree

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        """Return an expression of three or four operations that uses ``x`` or ``y``."""
        tree = cls._grow(rng, rng.choice((3, 4)))
        return cls(tree) if "x" in str(tree) or "y" in str(tree) else cls.draw(rng)

    @classmethod
    def _grow(cls, rng: random.Random, size: int) -> Any:
        if size == 0:
            return rng.choice("xy") if rng.random() < 0.6 else rng.choice(cls.leaves[2:])
        left = rng.randrange(size)
        return rng.choice(tuple(SYMBOLS)), cls._grow(rng, left), cls._grow(rng, size - 1 - left)

    @property
    def prompt(self) -> str:
        """The question as the user asks it."""
        return f"Write f(x,y)={_prefix(self.tree)}"

    @property
    def target(self) -> dict[str, Any]:
        """The function's name and what it returns for the fixed arguments."""
        tests = [{"args": [x, y], "expected": _value(self.tree, {"x": x, "y": y})} for x, y in ARGUMENTS]
        return {"entry_point": "f", "tests": tests}

    def solve(self, out: Writer) -> None:
        """Write one operation per line, results in ``t``, ``u``, ``v``."""
        out.put("```python\ndef f(x,y):\n    ")
        names = iter(self.temporaries)
        out.put(self._lines(out, self.tree, names, top=True))
        out.put("\n```")

    def _lines(self, out: Writer, tree: Any, names: Iterator[str], top: bool = False) -> str:
        if isinstance(tree, str):
            return tree
        left, right = (self._lines(out, branch, names) for branch in tree[1:])
        name = "" if top else next(names)
        out.put("return " if top else f"{name}=")
        out.choose(left, "xy" + DIGITS[1:])
        out.choose(SYMBOLS[tree[0]], "+-*")
        out.put(right if top else f"{right}\n    ")
        return name

    def solve_terse(self, out: Writer) -> None:
        """Write one nested expression with brackets."""
        out.put("```python\ndef f(x,y):\n    return ")
        self._nested(out, self.tree, top=True)
        out.put("\n```")

    def _nested(self, out: Writer, tree: Any, top: bool = False) -> None:
        if isinstance(tree, str):
            out.choose(tree, self.leaves)
            return
        out.put("" if top else "(")
        self._nested(out, tree[1])
        out.choose(SYMBOLS[tree[0]], "+-*")
        self._nested(out, tree[2])
        out.put("" if top else ")")


def _prefix(tree: Any) -> str:
    return tree if isinstance(tree, str) else f"{tree[0]}({_prefix(tree[1])},{_prefix(tree[2])})"


def _value(tree: Any, values: dict[str, int]) -> int:
    if isinstance(tree, str):
        return values[tree] if tree in values else int(tree)
    return apply(SYMBOLS[tree[0]], _value(tree[1], values), _value(tree[2], values))
