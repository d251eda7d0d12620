"""How fast this machine runs Python, so that a time limit means the same amount of work everywhere."""

from __future__ import annotations

import time

NUM_ROUNDS = 3
NUM_STEPS = 100_000
REFERENCE_SECONDS = 0.0125
"""What the loop takes on the machine that limits are stated for: CPython 3.11 on one core of a server of 2023."""
MAX_FACTOR = 8.0
STEP = 0.25


def loop_seconds() -> float:
    """Return the CPU seconds of a fixed loop, the least of a few rounds: other processes' load does not count."""
    return min(_round() for _ in range(NUM_ROUNDS))


def _round() -> float:
    started = time.thread_time()
    total, table = 0, list(range(64))
    for step in range(NUM_STEPS):
        total = (total + table[step & 63] * step) & 0xFFFFFF
    return time.thread_time() - started


def machine_factor(seconds: float) -> float:
    """Return by how much limits grow on a machine where the loop takes ``seconds``: 1 to ``MAX_FACTOR``.

    It is rounded to steps, so that noise does not move it. A faster machine keeps the stated limits: what a program
    may use is never less than its task says.
    """
    return min(max(round(seconds / REFERENCE_SECONDS / STEP) * STEP, 1.0), MAX_FACTOR)
