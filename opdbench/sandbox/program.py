"""The last process: it holds the program and its inputs, never an expected value or a verdict.

Whatever the program does to this module, to ``json`` or to the frames above it can only change the message that is
sent, and the parent reads that message as an answer.
"""

from __future__ import annotations

import json
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any

from opdbench.sandbox.protocol import Plain, decode, encode, pack, write_all

MODULE = "solution"
_NUM_REHEARSALS = 16  # the interpreter adapts a function's code after its first calls
MAX_DESCRIPTORS = os.sysconf("SC_OPEN_MAX")


def answer_calls(job: bytes, descriptor: int) -> None:
    """Run the program of a job, call its entry point once per element of its calls, and send what came back."""
    write_all(descriptor, pack(_results(*json.loads(job))))


def rehearse() -> None:
    """Do what every program makes this module do, so that a fresh process need not adapt and change the code for it."""
    for _ in range(_NUM_REHEARSALS):
        pack(_results(*json.loads(json.dumps(["def f(x):\n    return x\n", "f", [[1, "a"], [[0.5]]]]))))
    del sys.modules[MODULE]


def _results(code: str, entry_point: str, calls: list[Plain]) -> Plain:
    """Return ``{"results": [...]}``, or ``{"failed": reason}`` when there is nothing to call."""
    random.seed(0)
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        exec(compile(code, "<solution>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102, the untrusted program
    except BaseException as error:  # a program may raise anything, SystemExit and classes of its own among it
        return {"failed": _reason(error)}
    function = module.__dict__.get(entry_point)
    if not callable(function):
        return {"failed": "no_entry_point"}
    return {"results": [_call(function, call) for call in calls]}


def _call(function: Callable[..., Any], arguments: Plain) -> Plain:
    """Return ``["value", value]`` or ``["failed", reason]`` for one call."""
    try:
        value = function(*decode(arguments))
    except BaseException as error:  # as above
        return ["failed", _reason(error)]
    try:
        return ["value", encode(value)]
    except BaseException:  # a value's own class runs while it is encoded
        return ["failed", "invalid_output"]


def _reason(error: BaseException) -> str:
    return "limit" if issubclass(type(error), MemoryError) else "crash"


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on, also those above a limit that holds by now."""
    os.closerange(first, MAX_DESCRIPTORS)


def silence(descriptor: int) -> int:
    """Point the standard streams at nothing, keep only the result descriptor, and return its new number."""
    null = os.open(os.devnull, os.O_RDWR)
    saved = os.dup2(descriptor, 3) if null != 3 else os.dup2(descriptor, 4)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    close_from(saved + 1)
    if saved == 4:
        os.close(3)
    return saved
