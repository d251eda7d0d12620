"""Ends a program's interpreter where Python would go on to take its own internals apart.

Until then everything is Python's own: threads are joined, exit functions run, modules and objects of the program are
finalised in Python's order, if any of them could notice. What the server has loaded is left out of that, and when all
of the program is gone the process ends at once with the code that Python would have given. That is worth two thirds of
what a small program costs. Where the code is not certain (an interrupt, a hook for errors, output that cannot be
written), Python ends as it will.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import types
import typing
import weakref

_MODULE = "_ending"
_NEVER_LEFT_OUT = ("sys", "builtins", "__main__")


class _Last:
    """The last object that Python finalises."""

    def __init__(self, code: int) -> None:
        self._end, self._code = os._exit, code
        self._streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if stream and not stream.closed]

    def __del__(self) -> None:
        try:
            for stream in self._streams:
                stream.flush()
        finally:
            self._end(self._code)


class Ending:
    """Learns how a program ends; made before it starts, so that its exit function is the last."""

    def __init__(self) -> None:
        self._code: int | None = None
        self._loaded = frozenset(sys.modules).difference(_NEVER_LEFT_OUT)
        atexit.register(self._prepare)

    def note(self, error: BaseException | None) -> None:
        """Take down how the program's main code has ended."""
        if error is None:
            self._code = 0
        elif isinstance(error, SystemExit):
            self._code = _exit_code(error.code)
        elif isinstance(error, Exception) and sys.excepthook is sys.__excepthook__:
            self._code = 1

    def _prepare(self) -> None:
        """End, or hide what the server has loaded from finalisation and put an object at its end."""
        if self._code is None or not _can_flush():
            return
        if not _is_noticed():
            os._exit(self._code)
        last = types.ModuleType(_MODULE)
        last.__dict__["last"] = _Last(self._code)
        modules = [item for item in sys.modules.items() if item[0] not in self._loaded]
        keep_for_ever([*(sys.modules[name] for name in self._loaded & sys.modules.keys()), last])
        sys.modules.clear()
        # Python clears what is left of modules from the newest to the oldest.
        sys.modules[_MODULE] = last
        sys.modules.update(modules)


def _is_noticed() -> bool:
    """Say whether something of the program could notice that it is finalised: it has a finaliser, or is watched.

    Generators, files and others of Python's own types have a finaliser, too. What the server has loaded is not looked
    at: it is frozen. Nor is anything that the collector does not track, but for its class, which it does.
    """
    things = gc.get_objects()
    watched = (thing for thing in things if isinstance(thing, weakref.ref))
    kinds = {type(thing) for thing in things} | {thing for thing in things if isinstance(thing, type)}
    return any(map(_has_finaliser, kinds)) or any(weakref.ref.__callback__.__get__(one) for one in watched)


def _has_finaliser(kind: type) -> bool:
    try:
        type.__getattribute__(kind, "__del__")  # not by a metaclass of the program
    except AttributeError:
        return False
    return True


def _exit_code(code: typing.Any) -> int | None:
    if code is None:
        return 0
    return code & 0xFF if type(code) is int and abs(code) < 1 << 31 else None


def _can_flush() -> bool:
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def keep_for_ever(values: list[types.ModuleType]) -> None:
    """Take objects out of all finalisation; to free them would copy the pages that they share with the server."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(values))
