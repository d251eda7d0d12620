"""Arguments of MBPP+ as its functions want them: JSON has no tuples, sets or complex numbers, so evalplus makes them.

Which problems need what is a fact of the data set (MBPP+ v0.2.0) as evalplus 0.3.1 reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Arguments = Sequence[Any]
COMPLEX = frozenset({124, 252})
"""Problems whose arguments that are text stand for complex numbers; they become such inside the sandbox."""


def _each(arguments: Arguments) -> Arguments:
    """Make every argument a tuple."""
    return [tuple(argument) for argument in arguments]


def _items(values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(value) for value in values]


def _each_items(arguments: Arguments) -> Arguments:
    """Make the items of every argument tuples."""
    return [_items(argument) for argument in arguments]


def _first_items(arguments: Arguments) -> Arguments:
    return [_items(arguments[0]), arguments[1]]


def _first(arguments: Arguments) -> Arguments:
    return [tuple(arguments[0]), *arguments[1:]]


def _second(arguments: Arguments) -> Arguments:
    return [arguments[0], tuple(arguments[1])]


def _each_and_items(arguments: Arguments) -> Arguments:
    return [tuple(_items(argument)) for argument in arguments]


def _first_and_lists(arguments: Arguments) -> Arguments:
    """Make the only argument a tuple, and those of its items that are lists."""
    return [tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0])]


def _sets(arguments: Arguments) -> Arguments:
    """Make the items of the only argument sets; an empty one is, as in evalplus, an empty dictionary."""
    return [[set(item) if isinstance(item, list) and item else {} for item in arguments[0]]]


def _values(arguments: Arguments) -> Arguments:
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


def _text(arguments: Arguments) -> Arguments:
    """Make the only argument text, which stands for a complex number."""
    return [str(arguments[0])]


def _number_first(arguments: Arguments) -> Arguments:
    return [float(arguments[0]), arguments[1]]


def _all(arguments: Any) -> Any:
    """Make every list a tuple, however deep."""
    return tuple(_all(item) for item in arguments) if isinstance(arguments, list) else arguments


_RULES: Mapping[Callable[[Any], Any], str] = {
    _each: "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    _each_items: "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    _first_items: "75 413 444 753",
    _second: "106 750",
    _first: "250 307 405 446 617 720 763 808",
    _each_and_items: "259 401 445",
    _first_and_lists: "278",
    _sets: "115",
    _values: "722",
    _number_first: "124",
    _text: "252",
    _all: "580 615 791",
}
_BY_NUMBER = {int(number): rule for rule, numbers in _RULES.items() for number in numbers.split()}


def typed_arguments(dataset: str, number: int, arguments: Arguments) -> list[Any]:
    """Return the arguments of one call as the function wants them.

    Raises:
        TypeError, IndexError, AttributeError, ValueError: they have not the form of this problem's arguments.
    """
    rule = _BY_NUMBER.get(number) if dataset == "mbpp" else None
    return list(arguments if rule is None else rule(arguments))
