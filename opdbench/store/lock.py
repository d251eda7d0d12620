"""One writer per directory, across processes and machines, and without a lock that outlives its holder.

A lock names host, machine, boot, process and its start time. On the same machine a lock whose process is gone is
stale and taken over; a lock of another machine, or of another process namespace, cannot be judged and is respected.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

from opdbench.errors import StoreError
from opdbench.store.files import explained, write_atomic

LOCK_FILE = "lock.json"
GUARD_FILE = ".lock-guard"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock."""

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    since: str
    token: str

    def is_gone(self) -> bool:
        """Whether the process is known to have ended; False where that cannot be known from here."""
        if (self.host, self.machine) != _machine():
            return False
        if self.boot != _boot():
            return True
        if self.namespace != _namespace():
            return False
        return _start_time(self.pid) != self.started


class DirectoryLock:
    """A context manager that holds one directory for this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / LOCK_FILE
        self._mine: Holder | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object, in this process, holds the lock."""
        return self._mine is not None and self._mine.pid == os.getpid()

    def acquire(self) -> None:
        """Take the lock; a stale one is taken over.

        Raises:
            StoreError: another process holds it; the message names host, process and since when.
        """
        with explained(self.path):
            self.directory.mkdir(parents=True, exist_ok=True)
            with _guard(self.directory):
                holder = _holder(self.path)
                if holder is not None and not holder.is_gone():
                    raise StoreError(_refusal(self.directory, holder))
                mine = _this_process()
                write_atomic(self.path, json.dumps(asdict(mine), indent=1).encode())
        self._mine = mine

    def release(self) -> None:
        """Give the lock back; a lock that is not this object's is left alone."""
        if self.is_held:
            with suppress(OSError), _guard(self.directory):
                if _holder(self.path) == self._mine:
                    self.path.unlink()
        self._mine = None

    def __enter__(self) -> DirectoryLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _refusal(directory: Path, holder: Holder) -> str:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}"
    return (
        f"{directory} is in use by {who}. Wait for it or stop it; if you know that it has ended, "
        f"remove {directory / LOCK_FILE}"
    )


@contextmanager
def _guard(directory: Path) -> Generator[None]:
    """Let one process at a time look at the lock and change it; held for a moment only."""
    with (directory / GUARD_FILE).open("ab") as stream:
        # Some network file systems have no flock; the window that is left there is one rename wide.
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _holder(path: Path) -> Holder | None:
    """Read a lock; one that cannot be read was never taken, since locks are written whole."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _this_process() -> Holder:
    pid = os.getpid()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(*_machine(), _boot(), _namespace(), pid, _start_time(pid) or "", now, secrets.token_hex(8))


@cache
def _machine() -> tuple[str, str]:
    return socket.gethostname(), _text("/etc/machine-id")


def _boot() -> str:
    return _text("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Return when a process started, in a form that is only compared; None if there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    stat = _text(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if not fields:
        return ""
    return None if fields[0] in "ZX" else fields[19]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
