"""The imports that programs of models are forgiven for leaving out, and where they go.

LiveCodeBench's public runner puts the same imports in front of every program; a score without them is another score.
"""

from __future__ import annotations

import re

_TEXT_AND_DATA = "string re datetime collections heapq bisect copy"
_NAMES = f"{_TEXT_AND_DATA} math random statistics itertools functools operator io sys json".split()
LIVECODEBENCH = (
    "".join(f"from {name} import *\n" for name in [*_NAMES, "builtins", "typing"])
    + "".join(f"import {name}\n" for name in _NAMES)
    + "sys.setrecursionlimit(50000)\n"
)
"""What the public runner of LiveCodeBench (commit 28fef95) puts in front of a program, statement for statement."""
LONG_INTEGERS = "sys.set_int_max_str_digits(50000)\n"
"""What its process has set: integers of up to 50,000 digits can be read and written."""

_FUTURE = re.compile(
    r"^from[ \t]++__future__[ \t]++import[ \t]++(?P<names>\([^()]*+\)|[\w \t,]++)(?:;[ \t]*+|[ \t]*+(?:#[^\n]*+)?$)",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^(?:import|from)[ \t]+[^\n]+$", re.MULTILINE)
_TEXT = re.compile(r"\"{3}|'{3}")


def with_imports(code: str, imports: str) -> str:
    """Return a program with imports in front; its ``from __future__`` lines stay first, where Python wants them."""
    future = "".join(f"from __future__ import {found['names'].strip()}\n" for found in _FUTURE.finditer(code))
    return f"{future}{imports}\n{_FUTURE.sub('', code)}"


def imports_of(prompt: str) -> str:
    """Return the import lines of a prompt that is the beginning of a program, up to its first docstring."""
    return "".join(f"{found[0]}\n" for found in _IMPORT.finditer(_TEXT.split(prompt, maxsplit=1)[0]))
