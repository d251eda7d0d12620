"""Landlock: the kernel's own list of the files that a process may use, kept even if every other layer fails.

Sources: ``landlock(7)`` and the kernel's ``include/uapi/linux/landlock.h`` up to version 7 of its interface. Only what
the running kernel knows is asked for, so that an older one gives a weaker layer and not none.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from opdbench.sandbox.kernel import system_call

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _CONTROL_DEVICE = 1 << 14, 1 << 15
# Version 1 knows 13 kinds of access to files; links across folders, truncation and device control came later.
_NUM_FILE_ACCESSES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract unix sockets, signals
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _CONTROL_DEVICE

READ = _EXECUTE | _READ_FILE | _READ_FOLDER
USE = READ | _WRITE_FILE | _TRUNCATE
ALL = (1 << 16) - 1


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def version() -> int:
    """Return the version of the kernel's interface.

    Raises:
        OSError: this kernel has none, or it is switched off.
    """
    return system_call("landlock", _CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))


def restrict(allowed: Iterable[tuple[str, int]]) -> None:
    """Allow this process, and all that it starts, only the named folders and files; no TCP; signals to its own kind.

    ``refuse_new_privileges`` comes first. Paths that this process cannot reach are left out.

    Raises:
        OSError: the kernel refuses.
    """
    known = version()
    files = (1 << _NUM_FILE_ACCESSES[min(known, 5)]) - 1
    wanted = _Ruleset(files, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = system_call("landlock", _CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path, accesses in allowed:
            _allow(ruleset, path, accesses & files)
        system_call("landlock", _RESTRICT, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, accesses: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            accesses &= _ON_FILES
        rule = _PathBeneath(accesses, folder)
        system_call("landlock", _ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(folder)
