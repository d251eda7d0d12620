"""Reads what a program sends until it has ended or a limit is reached."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence

from opdbench.sandbox.clock import Clock
from opdbench.sandbox.pages import Pages
from opdbench.sandbox.protocol import HEADER

PIECE_BYTES = 1 << 16
TAIL_BYTES = 1 << 12


class Sink(Pages):
    """One pipe from a program: everything that it sends, up to a limit."""

    def __init__(self, descriptor: int, max_bytes: int) -> None:
        super().__init__(max_bytes + PIECE_BYTES)
        self.descriptor, self._max_bytes, self.is_open = descriptor, max_bytes, True

    def take(self) -> str | None:
        """Read what has arrived; return how the program ends by it, if it does."""
        self.is_open = self.fill(self.descriptor, PIECE_BYTES) > 0
        return "overflow" if self.size > self._max_bytes else None


class FrameSink(Sink):
    """A pipe for one message, whose last byte ends the program."""

    def take(self) -> str | None:
        """Read what has arrived; return ``done`` when the message is whole, and drop what follows it."""
        if how := super().take():
            return how
        if self.size < HEADER.size:
            return None
        with self.view(0, HEADER.size) as header:
            end = HEADER.size + HEADER.unpack(header)[0]
        if self.size < end:
            return None
        self.size = end
        return "done"


class TailSink(Sink):
    """A pipe that is read without end, and of which the last bytes are kept."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, TAIL_BYTES)

    def take(self) -> str | None:
        """Read what has arrived; it never ends the program."""
        super().take()
        self.keep_last(TAIL_BYTES)
        return None


class Running:
    """A program's first process, until nothing is left of the program.

    Args:
        pid: The process, forked by this one.
        clock: Its time.
        end_rest: Ends and collects all other processes of the program.
    """

    def __init__(self, pid: int, clock: Clock, end_rest: Callable[[], None]) -> None:
        self.pid, self.clock, self._end_rest = pid, clock, end_rest
        self._status: int | None = None

    def end(self) -> int:
        """End the program, and return the status of its first process as ``os.waitpid`` does."""
        if self._status is None:
            self.clock.look()
            os.kill(self.pid, signal.SIGKILL)
            self._status = os.waitpid(self.pid, 0)[1]
            self._end_rest()
        return self._status


def watch(running: Running, sinks: Sequence[Sink], jobs: int) -> str:
    """Return how a program ended: ``limit``, ``overflow``, ``done`` by its message, or ``ended`` by itself.

    The server ends if ``jobs`` hangs up: nobody waits for the answer.
    """
    handle = os.pidfd_open(running.pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(jobs, 0)
    waiting = {sink.descriptor: sink for sink in sinks}
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    try:
        return _watch(poll, handle, waiting, jobs, running)
    finally:
        os.close(handle)


def _watch(poll: select.poll, handle: int, waiting: dict[int, Sink], jobs: int, running: Running) -> str:
    has_ended = False
    while waiting or not has_ended:
        left = None if has_ended else running.clock.left()
        if left == 0:
            return "limit"
        ready = {descriptor for descriptor, _ in poll.poll(left and left * 1000)}
        if jobs in ready:
            os._exit(0)
        if handle in ready:
            has_ended = True
            poll.unregister(handle)
            running.end()  # and with it all others that could still write
        for sink in [waiting[descriptor] for descriptor in ready & waiting.keys()]:
            if how := sink.take():
                return how
            if not sink.is_open:  # closed by the program, which may still run
                poll.unregister(sink.descriptor)
                del waiting[sink.descriptor]
    return "ended"
