"""Reads the tests of programming problems from the forms in which data sets publish them.

- LiveCodeBench: ``public_test_cases`` (JSON) and ``private_test_cases`` (JSON, or base64(zlib(pickle(JSON)))), both
  lists of ``{"input": str, "output": str}``, and ``fn_name``, None for programs that read stdin.
- TACO, APPS and Eurus: ``{"inputs": [...], "outputs": [...]}`` with an optional ``fn_name``, also as JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.data.packed import unpack_text
from opdbench.errors import DataError

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Case:
    """One test: text for stdin, or a list of arguments; and the texts, or values, of which any is right."""

    given: Any
    accepted: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CodeTests:
    """All tests of a problem, at least one; ``entry_point`` is None for a program that reads stdin."""

    entry_point: str | None
    cases: tuple[Case, ...]


def read_tests(target: Any, where: str) -> CodeTests | None:
    """Return a problem's tests, None where it has none or they make no sense.

    Raises:
        DataError: packed tests are damaged, too large, or would execute something; ``where`` names the problem.
    """
    try:
        known = json.loads(target) if isinstance(target, str) else target
        if not isinstance(known, Mapping):
            return None
        entry_point = known.get("fn_name") or None
        if entry_point is not None and not _NAME.fullmatch(entry_point):
            return None
        pairs = _listed(known) if "inputs" in known else _published(known, where)
        cases = tuple(_case(given, expected, is_call=entry_point is not None) for given, expected in pairs)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return CodeTests(entry_point, cases) if cases else None


def _listed(target: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Return the pairs of TACO's form; lists of different lengths are no tests."""
    inputs, outputs = target["inputs"], target["outputs"]
    return list(zip(inputs, outputs, strict=True)) if len(inputs) == len(outputs) else []


def _published(target: Mapping[str, Any], where: str) -> list[tuple[Any, Any]]:
    """Return the pairs of LiveCodeBench's form, public tests first."""
    private = target["private_test_cases"]
    if not private.lstrip().startswith("["):
        private = unpack_text(private, f"{where}: private_test_cases")
    tests = json.loads(target["public_test_cases"]) + json.loads(private)
    return [(test["input"], test["output"]) for test in tests]


def _case(given: Any, expected: Any, *, is_call: bool) -> Case:
    if not is_call:
        return Case(_as_text(given), (_as_text(expected),))
    arguments = [json.loads(line) for line in given.split("\n")] if isinstance(given, str) else list(given)
    if isinstance(expected, str) and isinstance(given, str):
        return Case(arguments, (json.loads(expected),))
    # APPS, and with it TACO, holds the value itself or a list with nothing else in it, and does not say which.
    is_wrapped = isinstance(expected, Sequence) and not isinstance(expected, str) and len(expected) == 1
    return Case(arguments, (expected, expected[0]) if is_wrapped else (expected,))


def _as_text(value: Any) -> str:
    """Return text for stdin or stdout; some data sets hold it as a list of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
