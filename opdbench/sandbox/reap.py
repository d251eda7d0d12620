"""Ends and collects processes where no process-id namespace does it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

REAP_SECONDS = 5.0


def kill_descendants(*, is_first: bool) -> None:
    """Kill and collect every process below this one; those that left their group were handed to us when orphaned.

    ``is_first`` says that this is process 1 of a namespace of the sandbox. A process that cannot be collected in time
    ends this one, and the parent starts another server.
    """
    deadline = time.monotonic() + REAP_SECONDS
    while _collect():
        for child in [] if is_first else _children():
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(child, signal.SIGKILL)
        if is_first:  # everything else in the namespace, in one step
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        if time.monotonic() > deadline:
            os._exit(3)
        time.sleep(0.0002)


def _collect() -> bool:
    """Collect children that ended, and say whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Return the process ids of this process's children."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return [pid for pid in _processes() if _parent(pid) == os.getpid()]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0
