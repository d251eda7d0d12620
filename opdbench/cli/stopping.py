"""Ctrl-C and SIGTERM, in one place.

The first asks the verb to stop where nothing is lost; the command then ends with ``STOPPED``, and the same command
goes on later. A second Ctrl-C ends it at once. SIGTERM may come twice (``timeout`` sends it to the process and to its
group), so only Ctrl-C insists.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

STOPPED = 75
"""Exit code: stopped when asked to, nothing lost (``EX_TEMPFAIL``: try again)."""
KILLED = 130
"""Exit code: ended at once by a second Ctrl-C."""

_SAME_PRESS_SECONDS = 0.1
_SPEAKING_SECONDS = 5.0
_MESSAGE = "stopping after what is being computed now; Ctrl-C once more ends at once"
_SHOW_CURSOR = b"\x1b[?25h"


class Stoppable(Protocol):
    """What a runner polls and registers with; ``runner.Stop`` is one."""

    asked: bool
    kill: Callable[[], None]


class _Handler:
    def __init__(self, stop: Stoppable, say: Callable[[str], None]) -> None:
        self._stop, self._say = stop, say
        self._asked_at = 0.0
        self._speaker: threading.Thread | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del frame
        now = time.monotonic()
        if not self._stop.asked:
            self._stop.asked, self._asked_at = True, now
            # From a thread: a handler may not take the locks of a stream that it has interrupted.
            self._speaker = threading.Thread(target=self._say, args=(_MESSAGE,), daemon=True)
            self._speaker.start()
        elif number == signal.SIGINT and now - self._asked_at > _SAME_PRESS_SECONDS:
            self._kill()

    def finish(self) -> None:
        """Wait until the message is out: a command that stops at once would end before it."""
        if self._speaker is not None:
            self._speaker.join(_SPEAKING_SECONDS)

    def _kill(self) -> None:
        try:
            self._stop.kill()
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
        finally:
            os._exit(KILLED)


@contextmanager
def stoppable(stop: Stoppable, say: Callable[[str], None]) -> Generator[None]:
    """Take SIGINT and SIGTERM while the block runs; ``say`` shows the one message to the user."""
    handler = _Handler(stop, say)
    previous = {number: signal.signal(number, handler.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
        handler.finish()
