"""Reads what a program sends until it has ended or a limit is reached; the clock is here, outside the program."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence

from opdbench.sandbox.protocol import HEADER

PIECE_BYTES = 1 << 16
TAIL_BYTES = 1 << 12


class Sink:
    """One pipe from a program: everything that it sends, up to a limit."""

    def __init__(self, descriptor: int, max_bytes: int) -> None:
        self.descriptor = descriptor
        self.data = bytearray()
        self._max_bytes = max_bytes

    def add(self, piece: bytes) -> str | None:
        """Take what has arrived; return how the program ends by it, if it does."""
        self.data += piece
        return "overflow" if len(self.data) > self._max_bytes else None


class FrameSink(Sink):
    """A pipe for one message, whose last byte ends the program."""

    def add(self, piece: bytes) -> str | None:
        """Take what has arrived; return ``done`` when the message is whole, and drop what follows it."""
        if how := super().add(piece):
            return how
        if len(self.data) < HEADER.size:
            return None
        end = HEADER.size + HEADER.unpack_from(self.data)[0]
        if len(self.data) < end:
            return None
        del self.data[end:]
        return "done"


class TailSink(Sink):
    """A pipe that is read without end, and of which the last bytes are kept."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, TAIL_BYTES)

    def add(self, piece: bytes) -> str | None:
        """Take what has arrived; it never ends the program."""
        self.data += piece
        del self.data[:-TAIL_BYTES]
        return None


def watch(child: int, sinks: Sequence[Sink], jobs: int, wall_seconds: float, end_rest: Callable[[], None]) -> str:
    """Return how a program ended: ``limit``, ``overflow``, ``done`` by its message, or ``ended`` by itself.

    ``end_rest`` is called once when the process ``child`` has ended and must end all others that could still write.
    The server ends if ``jobs`` hangs up: nobody waits for the answer.
    """
    deadline = time.monotonic() + wall_seconds
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(jobs, 0)
    waiting = {sink.descriptor: sink for sink in sinks}
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    try:
        return _watch(poll, handle, waiting, jobs, deadline, end_rest)
    finally:
        os.close(handle)


def _watch(
    poll: select.poll,
    handle: int,
    waiting: dict[int, Sink],
    jobs: int,
    deadline: float,
    end_rest: Callable[[], None],
) -> str:
    has_ended = False
    while waiting or not has_ended:
        left = deadline - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(left * 1000)} if left > 0 else set[int]()
        if not ready:
            return "limit"
        if jobs in ready:
            os._exit(0)
        if handle in ready:
            has_ended = True
            poll.unregister(handle)
            end_rest()
        for descriptor in ready & waiting.keys():
            if how := _read(poll, waiting, descriptor):
                return how
    return "ended"


def _read(poll: select.poll, waiting: dict[int, Sink], descriptor: int) -> str | None:
    piece = os.read(descriptor, PIECE_BYTES)
    if piece:
        return waiting[descriptor].add(piece)
    poll.unregister(descriptor)  # closed by the program, which may still run
    del waiting[descriptor]
    return None
