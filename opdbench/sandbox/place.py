"""The folder that a program starts in: made anew for each one, with the rules that let it use no other.

Both are made by the server before the program's process exists, and before its job arrives. Here and where else a
server works for each program, it does so without objects for paths: what it changes between forks is copied each time.
"""

from __future__ import annotations

import contextlib
import os
import time

from opdbench.sandbox import landlock, layers, room, script
from opdbench.sandbox.protocol import write_all


class Place:
    """The next program's folder.

    Attributes:
        path: The folder, empty and owned by the program's user.
        ruleset: What Landlock allows the next program; None where the kernel has no Landlock.
    """

    def __init__(self, tier: str, root: str) -> None:
        self._has_room, self._root, self._is_root = tier != layers.UNSAFE, root, os.getuid() == 0
        self._may_hold_more = self._has_room and not self._is_root  # programs that are their server may write beside it
        self._rules: landlock.Rules | None = None
        with contextlib.suppress(OSError):
            self._rules = landlock.Rules(room.allowed())
        self.ruleset: landlock.Ruleset | None = None
        self._make_folder()
        self.make_ruleset()

    def make_ruleset(self) -> None:
        """Make the next program's ruleset; a program that ought to have one and has none does not begin."""
        if self._rules:
            with contextlib.suppress(OSError):
                self.ruleset = self._rules.with_folder(self.path)

    def close_ruleset(self) -> None:
        """Close the server's copy of a ruleset, once the program's process has its own."""
        if self.ruleset:
            os.close(self.ruleset.descriptor)
            self.ruleset = None

    def write(self, source: memoryview) -> None:
        """Put a program's file into the folder."""
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        write_all(descriptor, source)
        os.close(descriptor)
        self._has_file = True

    def renew(self) -> bool:
        """Give the next program an empty folder, and say whether that worked."""
        if self._has_file:
            with contextlib.suppress(OSError):
                os.unlink(self._file)  # noqa: PTH108
        try:
            os.rmdir(self.path)  # noqa: PTH106
            is_empty = not self._may_hold_more or not os.listdir(room.BOX)  # noqa: PTH208
        except OSError:
            is_empty = False
        if not is_empty and not self._empty():
            return False
        self._make_folder()
        return True

    def _empty(self) -> bool:
        if not self._has_room:
            room.remove(self.path)
            return True
        try:
            room.empty_box()
        except OSError:
            return False  # inside bubblewrap: the folder ends with the server
        return True

    def _make_folder(self) -> None:
        self.path = room.FOLDER if self._has_room else f"{self._root}/{os.getpid()}-{time.monotonic_ns()}"
        self._file, self._has_file = f"{self.path}/{script.NAME}", False
        os.mkdir(self.path, 0o700)  # noqa: PTH102
        if self._is_root:
            os.chown(self.path, layers.NOBODY, layers.NOBODY)
