"""Decides whether two normalised answers say the same: numbers, words, lists, tuples, intervals, equations.

Only what is left, a single expression against a single expression, goes to a mathematics library: it is passed in
as ``same``. A list of candidates therefore never matches one gold answer, whatever the library thinks of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from opdbench.graders.exact import read_number, same_number
from opdbench.graders.normalise import closing, plain_text, words

Same = Callable[[str, str], bool]

MAX_ITEMS = 40
_MATRIX = re.compile(r"\\begin\s*\{([pbB]?matrix)\}(.*)\\end\s*\{\1\}", re.DOTALL)
_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_VARIABLE = re.compile(r"[A-Za-z]|\\[a-z]+")
# What may stand before an equals sign and only names the answer: x, f(x), x_1, (x, y), \theta, |AB|.
_LABEL = re.compile(
    r"(?:[A-Za-z]|\\[A-Za-z]+ ?)+'?(?:_(?:\w|\{\w+\}))?(?:\([A-Za-z, ]+\))?|\([A-Za-z](?:, ?[A-Za-z])+\)|\|[A-Z]+\|"
)
_NUMERIC_COMMANDS = re.compile(
    r"\\(?:frac|sqrt|times|cdot|div|pi|binom|sin|cos|tan|log|ln)(?![A-Za-z])|(?<![A-Za-z])e(?![A-Za-z])"
)


def decide_quickly(gold: str, answer: str) -> tuple[bool, str] | None:
    """Return the verdict and its rule where equal text, exact numbers or words decide, else None."""
    if _letters(gold) == _letters(answer):
        return bool(gold), "str"
    gold_number, answer_number = read_number(gold), read_number(answer)
    if gold_number and answer_number:
        if same_number(gold_number, answer_number):
            return True, "int" if gold_number.value.denominator == 1 else "rational"
        return None if "," in gold + answer else (False, "int" if gold_number.value.denominator == 1 else "rational")
    option, answer_option = _option(gold), _option(answer)
    if option and answer_option and option[1] == "":
        return option[0] == answer_option[0], "text"
    gold_words, answer_words = words(gold), words(answer)
    if gold_words and answer_words:
        return gold_words == answer_words, "text"
    return None


def _letters(text: str) -> str:
    return re.sub(r"\s", "", plain_text(text))


def _option(text: str) -> tuple[str, str] | None:
    r"""Return the letter and the words of an option as mathematics benchmarks write it, ``\text{(C) Plane}``."""
    found = re.fullmatch(r"\(?([A-Z])[).:][ .:]*([A-Za-z][a-z ,'-]+)?", plain_text(text).strip())
    return (found[1], found[2] or "") if found else None


def equivalent(gold: str, answer: str, same: Same) -> bool:
    """Say whether two normalised answers are equivalent; ``same`` decides about single expressions."""
    quick = decide_quickly(gold, answer)
    if quick is not None:
        return quick[0]
    golds, answers = _items(gold), _items(answer)
    if min(len(golds), len(answers)) == 1 and max(len(golds), len(answers)) > 2:
        return _same_values(gold, answer, same)
    if len(golds) != len(answers) or len(golds) > MAX_ITEMS:
        return False
    if len(golds) > 1:
        return _match(golds, answers, same)
    return _same_item(golds[0], answers[0], same)


def split(text: str, separators: str = ",;") -> list[str]:
    """Split at separators outside all brackets."""
    parts: list[str] = []
    depth = start = 0
    for position, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char in separators and depth == 0 and text[position - 1 : position] != "\\":
            parts.append(text[start:position].strip())
            start = position + 1
    return [part for part in [*parts, text[start:].strip()] if part]


def _items(text: str) -> list[str]:
    r"""Return the elements of a list or a set, with ``\pm`` written out; anything else is a list of one."""
    is_set = text.startswith(r"\{") and closing(text, 1) == len(text) - 1
    is_set = is_set and not any(mark in text for mark in ("|", r"\mid", r"\emptyset"))
    inside = text[2:-2] if is_set else text
    return [item for part in split(inside) for item in _both_signs(part)] or [text]


def _both_signs(text: str) -> list[str]:
    r"""Write ``\pm`` out as two values; signs that belong together (``\mp``) change together."""
    count = len(re.findall(r"\\pm(?![A-Za-z])", text))
    if not 1 <= count <= 2:
        return [text]
    independent = r"\mp" not in text
    found: list[str] = []
    for signs in itertools.product("+-", repeat=count if independent else 1):
        values = iter(signs if independent else signs * count)
        written = re.sub(r"\\pm(?![A-Za-z])", lambda _, values=values: next(values), text)
        found.append(re.sub(r"\\mp(?![A-Za-z])", "-" if signs[0] == "+" else "+", written).strip())
    return found


def _match(golds: Sequence[str], answers: Sequence[str], same: Same) -> bool:
    """Say whether each element of one list has its own partner in the other, in any order."""
    left = list(answers)
    for gold in golds:
        partner = next((answer for answer in left if equivalent(gold, answer, same)), None)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _same_item(gold: str, answer: str, same: Same) -> bool:
    """Compare two answers of which neither is a list."""
    gold, answer = _as_interval(gold, answer), _as_interval(answer, gold)
    unions = [re.split(r"\\cup(?![A-Za-z])", text) for text in (gold, answer)]
    if max(map(len, unions)) > 1:
        return len(unions[0]) == len(unions[1]) and _match(_stripped(unions[0]), _stripped(unions[1]), same)
    brackets = _bracketed(gold, answer), _bracketed(answer, gold)
    if brackets[0] and brackets[1]:
        return _same_sequence(brackets[0], brackets[1], same)
    if brackets[0] or brackets[1]:
        return _same_equation(gold, answer, same) if "=" in gold + answer else False
    return _same_equation(gold, answer, same)


def _same_values(gold: str, answer: str, same: Same) -> bool:
    """Compare three or more values in a list with those in round brackets, in order; two may be an interval."""
    brackets = _bracketed(gold, answer), _bracketed(answer, gold)
    if not (brackets[0] or brackets[1]):
        return False
    values = [found or ["()", *split(text)] for found, text in zip(brackets, (gold, answer), strict=True)]
    return len(values[0]) <= MAX_ITEMS and _same_sequence(values[0], values[1], same)


def _stripped(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts]


def _same_sequence(gold: Sequence[str], answer: Sequence[str], same: Same) -> bool:
    """Compare brackets and elements, in order."""
    if len(gold) != len(answer) or gold[0] != answer[0]:
        return False
    return all(equivalent(*pair, same) for pair in zip(gold[1:], answer[1:], strict=True))


def _bracketed(text: str, other: str) -> list[str] | None:
    """Return the brackets and elements of a tuple, interval or matrix, else None.

    A vector counts as a tuple where the other side is one.
    """
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [[cell.strip() for cell in row.split("&")] for row in matrix[2].split(r"\\") if row.strip()]
        flat = [cell for row in rows for cell in row]
        is_vector = 1 in (len(rows), len(flat) // max(1, len(rows)))
        return ["()" if is_vector and not _MATRIX.fullmatch(other) else f"{len(rows)} rows", *flat]
    if text[:1] in "([" and text[-1:] in ")]" and text and closing(text, 0) == len(text) - 1:
        parts = split(text[1:-1])
        return [text[0] + text[-1], *parts] if len(parts) > 1 else None
    return None


def _as_interval(text: str, other: str) -> str:
    """Write an inequality as an interval where the other side is an interval, or an inequality in the same variable."""
    found = _interval(text)
    if not found:
        return text
    partner = _interval(other)
    if partner:
        return found[1] if partner[0] == found[0] else text
    return found[1] if _bracketed(other, "") or r"\cup" in other else text


def _interval(text: str) -> tuple[str, str] | None:
    r"""Return the variable and the interval of ``1<x\le 2``, ``x>2`` or ``x\in (1,2)``, else None."""
    member = re.fullmatch(rf"({_VARIABLE.pattern}) ?\\in(?![A-Za-z])(.*)", text)
    if member:
        return member[1], member[2].strip()
    parts = [part.strip() for part in _RELATION.split(text)]
    if len(parts) == 3:
        left, sign, right = parts
        if _VARIABLE.fullmatch(right):
            left, sign, right = right, {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}[sign], left
        if not _VARIABLE.fullmatch(left):
            return None
        closes = "]" if sign == r"\le" else ")"
        opens = "[" if sign == r"\ge" else "("
        return left, rf"(-\infty,{right}{closes}" if sign in ("<", r"\le") else rf"{opens}{right},\infty)"
    if len(parts) == 5 and _VARIABLE.fullmatch(parts[2]):
        low, first, variable, second, high = parts
        if first in (">", r"\ge"):
            low, first, second, high = high, second, first, low
        ends = {"<": "()", ">": "()", r"\le": "[]", r"\ge": "[]"}
        return variable, f"{ends[first][0]}{low},{high}{ends[second][1]}"
    return None


def _same_equation(gold: str, answer: str, same: Same) -> bool:
    """Compare what may be equations: a label is dropped, and all parts of a computation must be the gold answer."""
    golds, answers = split(gold, "="), split(answer, "=")
    if len(golds) > 1 and len(answers) > 1:
        if len(golds) == len(answers) == 2 and _letters(golds[0]) == _letters(answers[0]):
            return equivalent(golds[1], answers[1], same)
        return same(gold, answer)
    if len(answers) > 1:
        values = answers[1:] if _names_something(answers[0]) else answers
        return all(equivalent(gold, value, same) for value in values)
    if len(golds) > 1:
        values = golds[1:] if _LABEL.fullmatch(golds[0]) else golds
        return all(equivalent(value, answer, same) for value in values)
    return same(gold, answer)


def _names_something(text: str) -> bool:
    """Say whether the left side of an equation has a symbol, so that it cannot be a computation."""
    return re.search(r"[A-Za-z]", _NUMERIC_COMMANDS.sub("", text)) is not None
