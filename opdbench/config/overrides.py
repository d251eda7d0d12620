"""``--set a.b=c``: one value put over what a board's file says."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any, cast

from opdbench.config.lines import Location
from opdbench.errors import ConfigError


def apply(data: dict[str, Any], overrides: Iterable[str]) -> dict[Location, str]:
    """Put overrides into the parsed board, in order; return where each was put.

    A row is named by its id or its number: ``rows.ROW.config.beta=0.9``.

    Raises:
        ConfigError: an override is not of the form KEY=VALUE, or leads through something that is not a table.
    """
    return {_put(data, override): override for override in overrides}


def _put(data: dict[str, Any], override: str) -> Location:
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(f"--set {override}: write KEY=VALUE, for example budget.limit=1e12")
    location: Location = ()
    inside: Any = data
    for part in parts[:-1]:
        step = _step(inside, part, override)
        if isinstance(inside, dict):
            cast("dict[Any, Any]", inside).setdefault(step, {})
        inside, location = inside[step], (*location, step)
    last = _step(inside, parts[-1], override)
    inside[last] = _value(text.strip())
    return (*location, last)


def _step(inside: Any, part: str, override: str) -> str | int:
    """Return the key or index that a part of a dotted key means."""
    if isinstance(inside, dict):
        return part
    if isinstance(inside, list):
        elements = cast("list[Any]", inside)
        ids = [str(item.get("id")) if isinstance(item, dict) else "" for item in elements]
        if part in ids:
            return ids.index(part)
        if part.isdecimal() and int(part) < len(ids):
            return int(part)
        raise ConfigError(f"--set {override}: there is no {part!r}; there are {', '.join(filter(None, ids))}")
    raise ConfigError(f"--set {override}: {part!r} lies inside a value that is not a table")


def _value(text: str) -> Any:
    """Read a value as TOML; what TOML cannot read is a plain string, so that shells need no second quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
