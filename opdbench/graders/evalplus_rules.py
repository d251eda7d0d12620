"""When a value counts as the expected one, by the rules of evalplus 0.3.1, applied outside the sandbox.

Equality first; then, if the problem has a tolerance or the expected value is made of floats, ``numpy.allclose`` with
that tolerance (1e-6 for floats) and a relative one of 1e-7, for values of the same type. Once floats were expected, the
tolerance holds for the later tests of the run, as in evalplus. Ten or so problems have a rule of their own.

Two deviations are known. Values must have one shape to be close: evalplus lets NumPy stretch either, so that ``[5.0]``
passes for ``[[]]``, and ``[[x, y], [x, y]]`` for ``[x, y]``. ``find_zero`` (HumanEval/32): evalplus 0.3.1 never counts
its tests and so fails every solution, the canonical one included, which caps its score at 163 of 164. Here the rule it
states is applied, as in its repository since then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

FLOAT_TOLERANCE = 1e-6
RELATIVE_TOLERANCE = 1e-7
WHETHER = frozenset({"check_str", "text_match_three", "text_starta_endb"})
"""MBPP functions whose value cannot be compared, only whether there is one."""
AS_SETS = frozenset(
    {
        *("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum"),
        *("intersection_array", "find_dissimilar", "Diff"),
    }
)
"""MBPP functions whose values are in no particular order."""
UNCOMPARABLE = (ArithmeticError, TypeError, ValueError, RecursionError, MemoryError)
"""What comparing raises on a value of another type, size or depth, which is therefore not the expected one."""
_NUMBER = (int, float, complex)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one problem; ``dataset`` is ``humaneval`` or ``mbpp``."""

    dataset: str
    entry_point: str
    tolerance: float

    @property
    def only_whether(self) -> bool:
        """Whether values count only as something or nothing."""
        return self.dataset == "mbpp" and self.entry_point in WHETHER

    def verdicts(
        self, calls: Sequence[Sequence[Any]], expected: Sequence[tuple[str, Any]], actual: Sequence[Any]
    ) -> Iterator[bool]:
        """Yield for each call whether the actual answer is right; answers are the pairs of ``inside.answers_of``."""
        tolerance = self.tolerance
        for arguments, wanted, got in zip(calls, expected, actual, strict=True):
            try:
                yield self._is_right(arguments, wanted, got, tolerance)
            except UNCOMPARABLE:
                yield False
            if tolerance == 0 and wanted[0] == "value" and is_floats(wanted[1]):
                tolerance = FLOAT_TOLERANCE

    def _is_right(self, arguments: Sequence[Any], wanted: tuple[str, Any], got: Any, tolerance: float) -> bool:
        kind, value = got
        if self.only_whether:
            is_something = wanted[0] == "bool" or wanted[1]
            return kind in ("bool", "something") and value is is_something
        if "digest" in (kind, wanted[0]):
            return (kind, value) == wanted
        if kind != "value":
            return False
        if self.dataset == "humaneval" and self.entry_point == "find_zero":
            return abs(_polynomial(arguments[0], value)) <= tolerance
        return self._is_same(arguments, restored(wanted[1]), restored(value), tolerance)

    def _is_same(self, arguments: Sequence[Any], expected: Any, actual: Any, tolerance: float) -> bool:
        if self.dataset == "mbpp" and self.entry_point in AS_SETS:
            is_equal = _are_same_items(expected, actual)
        else:
            is_equal = bool(actual == expected) or self._is_excused(arguments, actual, tolerance)
        if tolerance == 0 and is_floats(expected):
            tolerance = FLOAT_TOLERANCE
        return is_equal or (tolerance != 0 and _is_close(expected, actual, tolerance))

    def _is_excused(self, arguments: Sequence[Any], actual: Any, tolerance: float) -> bool:
        """Apply the rules of MBPP's problems 164, 295, 581 and 558, whose texts allow more than their solutions."""
        if self.dataset != "mbpp":
            return False
        match self.entry_point:
            case "are_equivalent":
                return True
            case "sum_div":
                return bool(actual == 0)
            case "surface_Area":
                return bool(abs(actual - _pyramid_surface(*arguments)) <= tolerance)
            case "digit_distance_nums":
                return bool(actual == _digit_distance(*arguments))
            case _:
                return False


def restored(value: Any) -> Any:
    """Return a value with the complex numbers that ``inside.sendable`` has put in another form."""
    if isinstance(value, dict) and value.keys() == {"complex"}:
        return complex(*value["complex"])
    return type(value)(map(restored, value)) if isinstance(value, list | tuple) else value


def is_floats(value: Any) -> bool:
    """Say whether a value is a float, or a list or tuple of nothing but floats."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _are_same_items(expected: Iterable[Any], actual: Iterable[Any]) -> bool:
    """Say whether both hold the same items in any order and number.

    No set is made of items that are not expected: one of integers with a common hash takes hours.
    """
    wanted, found = set(expected), set[Any]()
    for item in actual:
        if item not in wanted:
            return False
        found.add(item)
    return len(found) == len(wanted)


def _is_close(expected: Any, actual: Any, tolerance: float) -> bool:
    import numpy

    if type(expected) is not type(actual) or not _has_shape_of(expected, actual):
        return False
    with numpy.errstate(all="ignore"):
        return bool(numpy.allclose(actual, expected, rtol=RELATIVE_TOLERANCE, atol=tolerance))


def _has_shape_of(expected: Any, actual: Any) -> bool:
    """Say whether both are numbers in lists of the same lengths; NumPy would make gigabytes of a text among them."""
    if isinstance(expected, list | tuple):
        is_as_long = isinstance(actual, list | tuple) and len(expected) == len(actual)
        return is_as_long and all(map(_has_shape_of, expected, actual))
    return isinstance(expected, _NUMBER) and isinstance(actual, _NUMBER)


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    """Return the value at ``x`` of the polynomial whose coefficients start with the constant."""
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def _pyramid_surface(base: float, height: float) -> int:
    """Return the rounded surface of a square pyramid whose ``height`` is that of its apex."""
    return round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))


def _digit_distance(first: int, second: int) -> int:
    """Return the sum of differences between the digits of two numbers, the shorter one padded with zeros."""
    width = max(len(str(first)), len(str(second)))
    digits = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in digits)
