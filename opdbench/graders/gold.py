r"""Looks at gold answers as they are written: what is malformed is matched by no right answer unless it is repaired.

A gold answer always equals itself, so grading it says nothing about a typing mistake in it (``\frac{sqrt{7} + 1}{2}``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from opdbench.graders.normalise import is_refused, normalise

_TEXT = re.compile(r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{[^{}]*\}")
_BARE = re.compile(
    r"(?<![A-Za-z\\])(?:[d-]?frac|sqrt|cdot|times|infty|pi|theta|alpha|beta|binom|sin|cos|tan|arcsin|arccos|arctan|log|ln)"
    r"(?![A-Za-z])"
)
_PYTHON = re.compile(r"(?<![A-Za-z\\])(?:np|math|sp|sympy)\.[A-Za-z]+|\*\*")
_PAIRS = {")": "([", "]": "([", "}": "{"}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with the writing of a gold answer; ``is_hopeless`` where no right answer can match it."""

    why: str
    is_hopeless: bool


def doubt(gold: str) -> Doubt | None:
    """Return what is wrong with a gold answer, None where nothing is seen.

    What ``normalise`` repairs is named and not hopeless. Half-open intervals are well formed.
    """
    written = normalise(gold)
    if is_refused(written):
        return Doubt("too long, too deep or too large: answers like it are refused unread", is_hopeless=True)
    why, left = _malformed(gold), _malformed(written)
    if left is not None:
        return Doubt(f"`{gold}` has {left}, and nothing here repairs it", is_hopeless=True)
    return None if why is None else Doubt(f"`{gold}` has {why}; it is read as `{written}`", is_hopeless=False)


def _malformed(gold: str) -> str | None:
    plain = _TEXT.sub(" ", gold)
    if found := _BARE.search(plain):
        return f"{found[0]!r} without a backslash"
    if found := _PYTHON.search(plain):
        return f"{found[0]!r}, which is Python and not LaTeX"
    if not _is_balanced(re.sub(r"\\[{}]|\\(?:left|right)\s*\.", "", plain)):
        return "brackets that do not match"
    return None if plain.strip() or gold.strip() else "no content"


def _is_balanced(text: str) -> bool:
    opened: list[str] = []
    for char in text:
        if char in "([{":
            opened.append(char)
        elif char in _PAIRS and (not opened or opened.pop() not in _PAIRS[char]):
            return False
    return not opened
