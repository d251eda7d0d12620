"""A board made from another by replacing keys, in a form that worker processes can repeat from the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.config.lines import Location
from opdbench.config.load import load_board
from opdbench.config.origin import Origin
from opdbench.config.settings import BoardConfig
from opdbench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Derived:
    """A board, and the overrides under which its file gives that board."""

    board: BoardConfig
    overrides: tuple[str, ...]


def derive(board: BoardConfig, changes: Mapping[str, Any], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Derived:
    """Replace the rows of a board, and other keys of it.

    Args:
        board: The board, read from a file.
        changes: Dotted keys with their new values.
        rows: The new rows, each after the id of the row that it comes from; errors point at the lines of that one.

    Raises:
        ConfigError: the board was not read from a file, or cannot be what it should become.
    """
    if board.path is None:
        raise ConfigError("a board runs from its file; load it with load_board")
    values = {**changes, "rows": [dict(row) for _, row in rows]}
    texts = [f"{key}={_toml(value)}" for key, value in values.items()]
    overrides = (*board.origin.overrides.values(), *texts)
    lines = _lines(board, [name for name, _ in rows])
    return Derived(load_board(board.path, overrides).with_origin(Origin(board.path, lines)), overrides)


def _lines(board: BoardConfig, names: Sequence[str]) -> dict[Location, int]:
    """Return the lines of a board whose rows come from others: those of the search first, then of the row itself."""
    lines = {location: line for location, line in board.origin.lines.items() if location[:1] != ("rows",)}
    ids = [row.id for row in board.rows]
    for index, name in enumerate(names):
        inside = {("rows", ids.index(name)): (), ("tuning", "constants", name): ("config",)}
        for location, line in board.origin.lines.items():
            for start, key in inside.items():
                if location[: len(start)] == start:
                    lines["rows", index, *key, *location[len(start) :]] = line
    return lines


def _toml(value: Any) -> str:
    """Return a value of JSON on one line of TOML."""
    if isinstance(value, Mapping):
        parts = [f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()]  # pyright: ignore
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"  # pyright: ignore
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
