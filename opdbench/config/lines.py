"""On which line of a TOML text each key stands; ``tomllib`` reads values and keeps no positions.

Only statements are told apart here (their brackets and strings), keys themselves are read by ``tomllib``. Keys
inside an inline table or array have no line of their own: they are found on the line of the statement.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Location = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[{]|[\]}]|\n', re.S
)
_KEY = re.compile(r'\s*((?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+|\s*\.\s*)+)\s*=')


def key_lines(text: str) -> dict[Location, int]:
    """Return the line of every key, table and array element of a valid TOML text, counted from 1."""
    lines: dict[Location, int] = {(): 1}
    arrays: dict[Location, int] = {}
    table: Location = ()
    for number, statement in _statements(text):
        if statement.lstrip().startswith("["):
            table = _table(_parts(statement), arrays, is_element=statement.lstrip().startswith("[["))
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
        elif (key := _KEY.match(statement)) is not None:
            path = table
            for part in _parts(f"{key[1]} = 0"):
                path = (*path, part)
                lines.setdefault(path, number)
    return lines


def nearest_line(lines: Mapping[Location, int], location: Location) -> int:
    """Return the line of a location, or of the innermost thing around it that has one."""
    while location not in lines and location:
        location = location[:-1]
    return lines.get(location, 1)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the number of its first line; newlines inside strings and brackets end none."""
    start = depth = 0
    line = 1
    for token in _TOKEN.finditer(text + "\n"):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and depth <= 0:
            statement = text[start : token.start()]
            if statement.strip():
                yield line, statement
            line += statement.count("\n") + 1
            start, depth = token.end(), 0


def _parts(statement: str) -> list[str]:
    """Return the parts of a key or header, as TOML itself reads it."""
    parts: list[str] = []
    value: Any = tomllib.loads(statement)
    while value and isinstance(value, dict | list):
        if isinstance(value, list):
            value = value[0]
        else:
            ((part, value),) = value.items()
            parts.append(part)
    return parts


def _table(parts: list[str], arrays: dict[Location, int], *, is_element: bool) -> Location:
    """Return where a header points to: in arrays of tables, into the last element."""
    path: Location = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if is_element and index == len(parts) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path
