"""Pydantic's errors in the words of this project: file, line, key, what is wrong, and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from opdbench.config.lines import Location
from opdbench.config.origin import Origin
from opdbench.errors import ConfigError


def suggestion(word: object, choices: Collection[str]) -> str:
    """Return ``Did you mean 'x'?``, or the list of what there is."""
    near = difflib.get_close_matches(str(word), choices, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(choices)) or 'none'}."


def explain(error: ValidationError, model: type[BaseModel], origin: Origin, at: Location = ()) -> ConfigError:
    """Return one error that names every problem, one per line; ``at`` is where the validated part stands."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        location = (*at, *_real(item["loc"]))
        lines.append(str(origin.error(location, _message(item, model))))
    return ConfigError("\n".join(dict.fromkeys(lines)))


def _real(location: Sequence[str | int]) -> Location:
    """Drop what pydantic adds to the keys of a dictionary."""
    return tuple(part for part in location if part != "[key]")


def _message(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, location = item["type"], item["loc"]
    if kind == "extra_forbidden":
        return f"unknown key. {suggestion(location[-1], _keys_at(model, location[:-1]))}"
    if kind == "missing":
        return "this key is missing"
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in item["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{item['input']!r} is not one of {', '.join(choices)}. {suggestion(item['input'], choices)}"
    message: str = item["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}, got {_short(item['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that are valid inside a location."""
    kind: Any = model
    for part in location:
        if (section := _section(kind)) is not None:
            fields = {field.alias or name: field for name, field in section.model_fields.items()}
            kind = fields[str(part)].annotation
        else:
            kind = _element(kind)
    section = _section(kind)
    return [] if section is None else [field.alias or name for name, field in section.model_fields.items()]


def _section(kind: Any) -> type[BaseModel] | None:
    """Return the settings class in an annotation such as ``X`` or ``X | None``."""
    if isinstance(kind, type):
        return kind if issubclass(kind, BaseModel) else None
    if get_origin(kind) in (Union, UnionType):
        return next((found for arg in get_args(kind) if (found := _section(arg)) is not None), None)
    return None


def _element(kind: Any) -> Any:
    """Return what a tuple or dictionary holds."""
    return next((arg for arg in reversed(get_args(kind)) if arg is not Ellipsis), None)
