"""Lets programs run beside each other, or one of them alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator


class Turn:
    """One program's run; ``was_alone`` is known when the run is over."""

    was_alone = False


class Turns:
    """Counts the programs that run; those that wait to run alone go first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_running = self._num_started = self._num_waiting = 0
        self._is_taken = False

    @contextlib.contextmanager
    def beside_others(self) -> Generator[Turn]:
        """Run when nobody runs, or waits to run, alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken and not self._num_waiting)
            self._num_running += 1
            self._num_started += 1
            started, was_first = self._num_started, self._num_running == 1
        turn = Turn()
        try:
            yield turn
        finally:
            with self._changed:
                turn.was_alone = was_first and self._num_started == started
                self._num_running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Run when nobody else does, and keep others from starting."""
        with self._changed:
            self._num_waiting += 1
            self._changed.wait_for(lambda: not self._is_taken and not self._num_running)
            self._num_waiting -= 1
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()
