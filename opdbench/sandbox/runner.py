"""Runs a function of an untrusted program and returns what it answered, as plain values.

Promised: the program's processes hold inputs only, are bounded in time, memory, processes, file size and output, are
killed and collected before the call returns, and what they send is read as data. Where the kernel allows, they run as
nobody in network, IPC and process-id namespaces of their own (``layers`` says which layers took hold). Not promised
yet: a program can read world-readable files and write where everybody may (``/tmp``); keep gold answers unreadable for
others until a file-system layer is added.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from opdbench.errors import GradingError
from opdbench.sandbox.layers import NAMES
from opdbench.sandbox.protocol import Limits, Plain, decode, encode, unpack
from opdbench.sandbox.server import Server

MAX_SERVERS = 8
CLOSE_ATTEMPTS = 3  # a program that is just being killed may still write into its folder

Status = Literal["done", "limit", "crash", "invalid_output", "no_entry_point"]
_STATUSES: dict[str, Status] = {
    "limit": "limit",
    "crash": "crash",
    "invalid_output": "invalid_output",
    "no_entry_point": "no_entry_point",
}


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call gave: a value of built-in types, or the reason why there is none."""

    status: Status
    value: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended; ``results`` has one element per call if ``status`` is ``done``, else none."""

    status: Status
    results: tuple[CallResult, ...] = ()


class Sandbox:
    """A few fork servers, started when first needed; a context manager, safe to use from several threads."""

    def __init__(self, num_servers: int | None = None) -> None:
        self.num_servers = num_servers or max(1, min(MAX_SERVERS, len(os.sched_getaffinity(0))))
        self._idle: queue.LifoQueue[Server | None] = queue.LifoQueue()
        for _ in range(self.num_servers):
            self._idle.put(None)
        self._alive: set[Server] = set()
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._num_closed = 0

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that take hold on this machine.

        Raises:
            GradingError: no fork server starts.
        """
        with self._lend() as server:
            return server.layers

    @property
    def pids(self) -> list[int]:
        """Process ids of the fork servers."""
        return [server.pid for server in self._alive]

    def run_function(
        self, code: str, entry_point: str, calls: Sequence[Sequence[Any]], limits: Limits | None = None
    ) -> Outcome:
        """Run a program and call its function once per element of ``calls``, in one process, in order.

        A program on which two fork servers end is to blame for it: its status is ``crash``.

        Raises:
            TypeError: an argument is not of a built-in type.
            GradingError: no fork server starts, or the sandbox is closed meanwhile.
        """
        limits = limits or Limits()
        job: dict[str, Plain] = {"code": _storable(code), "entry_point": entry_point, "limits": limits.to_json()}
        job["calls"] = [encode(list(call)) for call in calls]
        num_closed = self._num_closed
        for _ in range(2):
            with self._lend() as server:
                try:
                    how, sent = server.run(job, limits.wall_seconds)
                except (OSError, ValueError, TimeoutError):
                    self._discard(server)
                    if self._num_closed != num_closed:
                        raise GradingError("the sandbox was closed while it ran a program") from None
                    continue
                return _read_outcome(how, sent, len(calls))
        return Outcome("crash")

    def close(self) -> None:
        """End all servers and delete their folder; the sandbox starts new ones when it is used again."""
        with self._lock:
            self._num_closed += 1
            idle = {server for server in self._idle.queue if server}
            for server in self._alive:
                server.close() if server in idle else server.kill()
            self._alive.clear()
            for _ in range(CLOSE_ATTEMPTS if self._root else 0):
                shutil.rmtree(self._root or "", ignore_errors=True)
            self._root = None

    @contextlib.contextmanager
    def _lend(self) -> Generator[Server]:
        """Lend an idle server."""
        server = self._idle.get()
        try:
            with self._lock:
                if server is None or server not in self._alive:
                    server = self._start()
            yield server
        finally:
            self._idle.put(server)

    def _start(self) -> Server:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="opdbench-sandbox-"))
            self._root.chmod(0o711)
        server = Server(self._root)
        self._alive.add(server)
        return server

    def _discard(self, server: Server) -> None:
        with self._lock:
            self._alive.discard(server)
        server.close()


def _storable(code: str) -> str:
    """Drop what no source file can hold; such a program does not compile either way."""
    return code.encode("utf-8", "replace").decode()


def _read_outcome(how: str, sent: bytes, num_calls: int) -> Outcome:
    """Read a program's message; anything but one well-formed result per call is an invalid output."""
    if how != "done":
        return Outcome("invalid_output" if how == "overflow" else _STATUSES[how])
    try:
        message = unpack(sent)
        if "failed" in message:
            return Outcome(_STATUSES[message["failed"]])
        results = tuple(_read_result(item) for item in message["results"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return Outcome("invalid_output")
    return Outcome("done", results) if len(results) == num_calls else Outcome("invalid_output")


def _read_result(item: Plain) -> CallResult:
    kind, inner = item
    return CallResult("done", decode(inner)) if kind == "value" else CallResult(_STATUSES[inner])


@functools.cache
def _sandbox_of(process: int) -> Sandbox:
    del process
    sandbox = Sandbox()
    atexit.register(sandbox.close)
    return sandbox


def shared_sandbox() -> Sandbox:
    """Return the sandbox of this process; it is closed at exit, and a forked process gets its own."""
    return _sandbox_of(os.getpid())


def describe() -> list[tuple[str, bool]]:
    """Return every layer and whether it takes hold on this machine, for people.

    Raises:
        GradingError: the sandbox does not start.
    """
    active = shared_sandbox().layers
    return [(name, name in active) for name in NAMES]
