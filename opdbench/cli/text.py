"""Text on a terminal: data to standard output, messages to standard error, nothing of either able to steer it."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST_CELL, LONGEST_LAST_CELL = 60, 300
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Return text in which control, bidi, zero-width and unassigned characters are shown as escapes.

    Board, plug-in and model texts are data: none of them may move the cursor, set a title, or reorder a line. Unlike
    ``board.escape``, nothing is dropped, since ``show`` must not hide what a model wrote. Lines stay lines.
    """
    return "".join(_escaped(char) for char in text.replace("\r\n", "\n").expandtabs(4))


def _escaped(char: str) -> str:
    if char == "\n" or unicodedata.category(char) not in _INVISIBLE:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def line(text: str, limit: int = 300) -> str:
    """Return one line of visible text; long text is cut."""
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def out(text: str = "") -> None:
    """Write a line of data."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Write a message that is not data."""
    sys.stdout.flush()
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


def out_json(value: Any) -> None:
    """Write a JSON value; ASCII, so that no terminal is steered and no locale fails."""
    out(json.dumps(value, indent=2, allow_nan=False, default=str))


def out_table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> None:
    """Write aligned columns; those named in ``numbers`` end at the right. Only the last may be long."""
    limits = [LONGEST_CELL] * (len(header) - 1) + [LONGEST_LAST_CELL]
    body = [
        [line("" if cell is None else str(cell), limit) for cell, limit in zip(row, limits, strict=True)]
        for row in rows
    ]
    lines = [list(header), *body]
    widths = [max(width(row[index]) for row in lines) for index in range(len(header))]
    right = [name in numbers for name in header]
    for row in lines:
        padded = [_padded(cell, size, end) for cell, size, end in zip(row, widths, right, strict=True)]
        out("  ".join(padded).rstrip())


def width(text: str) -> int:
    """Count terminal columns: wide characters take two, marks that combine take none."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _padded(cell: str, size: int, right: bool) -> str:
    space = " " * (size - width(cell))
    return space + cell if right else cell + space


def amount(value: float | None) -> str:
    """Return a quantity in few digits; a dash where it is not known."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) < 100_000 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Return a share of 1 as percent; a dash where it is not known."""
    return "—" if value is None else f"{100 * value:.1f}"


def prepare_streams() -> None:
    """Let no character that the locale lacks end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
