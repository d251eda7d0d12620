"""How much of its time a program has used: processor time while it works, time of the clock while it sleeps.

Time that a program only waits for a processor is not its own: on a busy machine a right answer must not meet a limit.
What it waits for cannot be seen from outside, but a program that got hardly any processor for a while was not waiting
for one, it slept. A program that starts threads or processes is held to the wall clock, because others could work for
it while its first process seems to wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opdbench.sandbox import kernel

PATIENCE = 10
"""How many times its limit a program may take by the wall clock, however little it got of the processor."""
STEP_SECONDS = 0.25
_MIN_STEP_SECONDS = 0.005
_BUSY = 1 / (2 * PATIENCE)


class Clock:
    """The time of one program, looked at in steps.

    Args:
        pid: The program's first process.
        seconds: What it may use.
        is_single: Says whether the program has started no other process or thread.

    Attributes:
        used: Seconds that the program has used up to the last look.
    """

    def __init__(self, pid: int, seconds: float, is_single: Callable[[], bool]) -> None:
        self._clock, self._seconds, self._is_single = kernel.processor_clock(pid), seconds, is_single
        self._was_single = True
        self.used = self._worked = 0.0
        self._started = self._looked = time.monotonic()
        self._due = self._started + self._step()

    def left(self) -> float:
        """Look if it is time to, and return the seconds until the next look; 0 when the program's time is over."""
        if time.monotonic() >= self._due:
            self.look()
            # Every time, so that nobody can go through all process ids between two looks.
            self._was_single = self._was_single and self._is_single()
        return 0.0 if self._is_over() else max(self._due - self._looked, _MIN_STEP_SECONDS)

    def look(self) -> None:
        """Add what the program has used since the last look; it must not be collected yet."""
        now, worked = time.monotonic(), time.clock_gettime(self._clock)
        passed, got = now - self._looked, worked - self._worked
        self.used += min(got, passed) if got > _BUSY * passed else passed
        self._looked, self._worked = now, worked
        self._due = now + self._step()

    def _step(self) -> float:
        return max(_MIN_STEP_SECONDS, min(STEP_SECONDS, self._seconds - self.used))

    def _is_over(self) -> bool:
        passed = self._looked - self._started
        if self.used >= self._seconds or passed >= PATIENCE * self._seconds:
            return True
        return passed >= self._seconds and not self._was_single
