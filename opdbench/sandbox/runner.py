"""Runs untrusted programs and returns what they answered, as plain values and bytes.

Promised: the program's processes hold inputs only, are bounded in time, memory, processes, file size and output, are
killed and collected before the call returns, and what they send is read as data. They run in namespaces of their own
and see no file but the interpreter's (``layers`` says which layers took hold); where neither the kernel nor bubblewrap
gives that, nothing is run unless the user allows it. docs/sandbox.md says what remains possible.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import logging
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from opdbench.errors import GradingError
from opdbench.sandbox.calibration import machine_factor
from opdbench.sandbox.layers import TIERS, UNSAFE, absent
from opdbench.sandbox.outcome import Outcome, read_calls, read_program
from opdbench.sandbox.protocol import SCRIPT, Job, Limits, function_job
from opdbench.sandbox.server import Reply, Server, start_like
from opdbench.sandbox.turns import Turns

log = logging.getLogger(__name__)

MAX_SERVERS = 8
ATTEMPTS = 60
"""How often a program runs that is killed; after that it is to blame."""
ATTEMPTS_TIME = 16
"""How many times its time limit all runs of a program may use that are killed."""
SERVER_ATTEMPTS = 30
"""How often it runs beside that where its server ends with it, which a program cannot bring about."""
CLOSE_ATTEMPTS = 3  # a program that is just being killed may still write into its folder


class Sandbox:
    """A few fork servers, started when first needed; a context manager, safe to use from several threads.

    Args:
        num_servers: How many programs run at a time; by default one for each processor, up to eight.
        tiers: Ways to isolate a server, tried in order; ``unsafe`` counts only where the user has allowed it.
    """

    def __init__(self, num_servers: int | None = None, tiers: Sequence[str] = tuple(TIERS)) -> None:
        self._tiers = tiers
        self.num_servers = num_servers or max(1, min(MAX_SERVERS, len(os.sched_getaffinity(0))))
        self._idle: queue.LifoQueue[Server | None] = queue.LifoQueue()
        for _ in range(self.num_servers):
            self._idle.put(None)
        self._alive: set[Server] = set()
        self._lock = threading.Lock()
        self._turns = Turns()
        self._factor: float | None = None
        self._layers: tuple[str, ...] | None = None
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
    def factor(self) -> float:
        """By how much time limits are longer here than stated, measured once for each sandbox.

        Raises:
            GradingError: no fork server starts.
        """
        with self._lend() as server:
            return self._factor_of(server)

    @property
    def known_factor(self) -> float | None:
        """The factor, None while no program has run; nothing is started."""
        return self._factor

    @property
    def pids(self) -> list[int]:
        """Process ids of the fork servers."""
        return [server.pid for server in list(self._alive)]  # other threads may start some meanwhile

    def run_function(
        self, code: str, entry_point: str, calls: Sequence[Sequence[Any]], limits: Limits | None = None
    ) -> Outcome:
        """Run a program and call its function once per element of ``calls``, in one process, in order.

        A program that is killed, or whose server is, runs again; after ``ATTEMPTS`` or ``SERVER_ATTEMPTS`` of them its
        status is ``crash``.

        Raises:
            TypeError: an argument is not of a built-in type.
            GradingError: no fork server starts, or the sandbox is closed meanwhile.
        """
        job = function_job(_storable(code), entry_point, calls)
        return read_calls(self._run(job, limits or Limits()), len(calls))

    def run_program(self, code: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
        """Run a program as ``python FILE < stdin`` does, with real descriptors 0, 1 and 2.

        ``done`` is a program that ended by itself, whatever its exit code; ``limits.output_bytes`` is for what it
        prints. One that is killed runs again, as a function does.

        Raises:
            ValueError: the input holds characters that no file can hold.
            GradingError: no fork server starts, or the sandbox is closed meanwhile.
        """
        source, given = code.encode("utf-8", "surrogatepass"), stdin.encode("utf-8", "surrogateescape")
        return read_program(self._run(Job(SCRIPT, source + given, len(source)), limits or Limits()))

    def _run(self, job: Job, limits: Limits) -> Reply:
        """Run a job; one that ends by the time limit beside others is run once more alone before that counts."""
        with self._turns.beside_others() as turn:
            reply = self._attempt(job, limits)
        if reply.how == "limit" and self.num_servers > 1 and not turn.was_alone:
            with self._turns.alone():
                reply = self._attempt(job, limits)
        return reply

    def _attempt(self, job: Job, limits: Limits) -> Reply:
        """Run a job, again if something killed it: a verdict is for what a program does, not for what is done to it."""
        num_closed, reply = self._num_closed, _SERVER_ENDED
        left = {"killed": ATTEMPTS, "lost": ATTEMPTS, _SERVER_ENDED.how: SERVER_ATTEMPTS}
        seconds_left = ATTEMPTS_TIME * limits.seconds
        while left.get(reply.how) and seconds_left > 0:
            with self._lend() as server:
                reply = self._ask(server, job, limits)
            seconds_left -= reply.seconds
            if reply is _SERVER_ENDED and self._num_closed != num_closed:
                raise GradingError("the sandbox was closed while it ran a program")
            if reply.how not in left:
                return reply
            left[reply.how] -= 1
        if reply.how == "lost":
            raise GradingError("a layer of the sandbox that held at the start fails now; run `opdbench doctor`")
        return dataclasses.replace(reply, how="crash")

    def _ask(self, server: Server, job: Job, limits: Limits) -> Reply:
        """Let a server run a job; a server that ends with it is discarded."""
        scaled = dataclasses.replace(limits, seconds=limits.seconds * self._factor_of(server))
        try:
            reply = server.run(job, scaled)
        except (OSError, ValueError):
            self._discard(server)
            return _SERVER_ENDED
        if server.has_ended:
            self._discard(server)
        return dataclasses.replace(reply, seconds=reply.seconds / self._factor_of(server))

    def _factor_of(self, server: Server) -> float:
        with self._lock:
            if self._factor is None:
                self._factor = machine_factor(server.loop_seconds)
            return self._factor

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
            self._root = self._layers = None

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
        server = start_like(self._root, self._tiers, self._layers)
        if UNSAFE in server.layers and not self._alive:
            log.warning(
                "programs of models run without isolation, as --unsafe-exec allows: %s", "; ".join(server.refused)
            )
        self._layers = server.layers
        self._alive.add(server)
        return server

    def _discard(self, server: Server) -> None:
        with self._lock:
            self._alive.discard(server)
        server.close()


_SERVER_ENDED = Reply("server ended")


def _storable(code: str) -> str:
    """Drop what no source file can hold; such a program does not compile either way."""
    return code.encode("utf-8", "replace").decode()


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
    """Return the layers of this machine and those that it lacks, for people.

    Raises:
        GradingError: the sandbox does not start.
    """
    active = shared_sandbox().layers
    return [*((name, True) for name in active), *((name, False) for name in absent(active))]
