"""Makes text that others wrote safe for the place it goes to: Markdown, HTML, CSV, a terminal.

Row titles, paper names, marks and error messages come from boards, plug-ins and models: they are data. Every sink has
one function here; HTML is escaped by the template engine after ``plain``.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c)?"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"
)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;", "|": "&#124;"}
_MARKUP = frozenset("\\`*_{}[]~!$=")
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp|www)([:.])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def plain(text: str, limit: int = 300) -> str:
    """Return one line of visible text: no control, bidi, zero-width or private characters; long text is cut.

    It is what a terminal may show, and the first step of every other sink.
    """
    spaced = re.sub(r"\s+", " ", _ESCAPE_SEQUENCES.sub("", text))
    visible = "".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE).strip()
    return visible if len(visible) <= limit else visible[: limit - 1] + "…"


def markdown(text: str) -> str:
    """Return text that a Markdown renderer shows as it is, in a paragraph, a list item or a table cell."""
    escaped = "".join(_ENTITIES.get(char, f"\\{char}" if char in _MARKUP else char) for char in plain(text))
    unlinked = _LINK.sub(lambda found: f"{found[1]}&#{ord(found[2])};", escaped)
    return re.sub(
        r"^(\d+)([.)])(?=\s|$)|^([-+])(?=\s|$)", lambda found: f"{found[1] or ''}\\{found[2] or found[3]}", unlinked
    )


def code(text: str) -> str:
    """Return text as a Markdown code span that cannot be closed from inside, also in a table cell."""
    return f"`{plain(text).replace('`', chr(39)).replace('|', '¦') or ' '}`"


def shell(*words: str) -> str:
    """Return a command line whose words the shell takes as they are."""
    return shlex.join(plain(word).replace("`", "") for word in words)


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; numbers and None stay what they are."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
