"""Spend by phase: charged as it happens, closed step by step, saved and restored exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opdbench.budget.amounts import (
    OFF_BUDGET,
    PHASES,
    Axis,
    Budget,
    Charge,
    Meter,
    OffBudget,
    Phase,
    charges_from_json,
    total,
)
from opdbench.budget.record import StepRecord, due
from opdbench.errors import BudgetError

RECENT_STEPS = 8

Lines = dict[str, Charge]


def _add(lines: Lines, charge: Charge) -> None:
    """Add a charge to the line of its phase."""
    lines[charge.phase] = lines[charge.phase].plus(charge) if charge.phase in lines else charge


def _lines_from_json(data: Mapping[str, Any]) -> Lines:
    return {charge.phase: charge for charge in charges_from_json(data["counts"], data["timing"])}


def _lines_to_json(lines: Lines) -> dict[str, Any]:
    counts = {phase: charge.counts() for phase, charge in lines.items()}
    return {"counts": counts, "timing": {phase: charge.device_seconds for phase, charge in lines.items()}}


@dataclass(slots=True)
class Ledger:
    """What a cell has spent. Two ledgers are equal when they hold the same amounts, whatever their clocks.

    Charges since the last closed step are kept apart until the step ends, and then added in one piece. That makes
    the sum of the step records the ledger itself, to the last bit of the device-seconds.

    Attributes:
        budget: What may be spent.
        num_devices: Devices held; a second of wall-clock costs this many device-seconds.
        first_step_bound: The planner's bound on the first step's cost, in units of the axis.
        num_steps: Steps closed; a step is one rollout batch, whatever the number of optimizer steps on it.
    """

    budget: Budget
    num_devices: int = 1
    first_step_bound: float | None = None
    clock: Callable[[], float] = field(default=time.perf_counter, compare=False, repr=False)
    num_steps: int = field(default=0, init=False)
    _recent: list[float] = field(default_factory=list[float], init=False)
    _closed: Lines = field(default_factory=dict[str, Charge], init=False)
    _open: Lines = field(default_factory=dict[str, Charge], init=False)
    _in_step: bool = field(default=False, init=False)
    _running: str | None = field(default=None, init=False, compare=False)
    _idle_since: float | None = field(default=None, init=False, compare=False)

    # Charging

    def charge(self, charge: Charge) -> None:
        """Add work that was not measured here, for example a cached score at its recorded price."""
        _add(self._open, charge)

    def charge_off_budget(self, line: OffBudget, *, device_seconds: float = 0.0, **counts: int) -> None:
        """Add work that the budget does not pay for; ``redone`` counts on ``gpu_hours`` all the same."""
        self.charge(Charge(line, **counts, device_seconds=device_seconds))

    @contextmanager
    def phase(self, name: Phase | OffBudget) -> Generator[Meter]:
        """Measure a phase: ``with ledger.phase("update") as meter: meter.add(flops=...)``.

        Charges wall-clock x devices on leaving. Work of a phase that raises is lost: its time goes to ``redone``.

        Raises:
            RuntimeError: another phase is being measured; a second belongs to one phase only.
        """
        if self._running is not None:
            raise RuntimeError(f"phase {name} starts inside phase {self._running}")
        self._settle_idle()
        meter, start = Meter(Charge(name)), self.clock()
        self._running = name
        try:
            yield meter
        except BaseException:
            meter.charge = Charge(name if name in OFF_BUDGET else "redone")
            raise
        finally:
            self._running = None
            now = self.clock()
            self.charge(meter.charge.plus(Charge(name, device_seconds=(now - start) * self.num_devices)))
            self._idle_since = None if self._idle_since is None else now

    def start_clock(self) -> None:
        """Start counting time outside phases as idle; devices are held from now on."""
        self._idle_since = self.clock()

    def stop_clock(self) -> None:
        """Stop counting idle time."""
        self._settle_idle()
        self._idle_since = None

    def _settle_idle(self) -> None:
        """Charge the time since the last phase to ``idle``, if the clock runs."""
        if self._idle_since is not None:
            now = self.clock()
            self.charge(Charge("idle", device_seconds=(now - self._idle_since) * self.num_devices))
            self._idle_since = now

    # Steps

    def begin_step(self) -> None:
        """Open a step. What was charged since the last one (a checkpoint, idle time) belongs to it.

        Raises:
            RuntimeError: a step is open.
        """
        if self._in_step:
            raise RuntimeError("begin_step: the step before is still open")
        self._in_step = True

    def end_step(self) -> StepRecord:
        """Close the step and return its record, to be logged.

        Raises:
            RuntimeError: no step is open, or a phase is still being measured.
        """
        if not self._in_step or self._running is not None:
            raise RuntimeError(f"end_step: no step is open, or phase {self._running} is")
        self._settle_idle()
        self._in_step = False
        self.num_steps += 1
        cost = total((charge for charge in self._open.values() if charge.phase != "redone"), self.budget.axis)
        self._recent = [*self._recent, cost][-RECENT_STEPS:]
        return self._close(self.num_steps)

    def close(self) -> StepRecord | None:
        """Close what was charged after the last step; None when nothing was.

        Raises:
            RuntimeError: a step is open.
        """
        if self._in_step:
            raise RuntimeError("close: a step is still open")
        return self._close(None) if self._open else None

    def _close(self, step: int | None) -> StepRecord:
        before, charges = self.spend_at_last_step(), tuple(self._open.values())
        for charge in charges:
            _add(self._closed, charge)
        self._open = {}
        return StepRecord(step, before, self.spend_at_last_step(), self.budget.limit, charges)

    # Reading

    def charges(self) -> tuple[Charge, ...]:
        """Return one charge per phase and line off the budget, in the order of ``PHASES`` and ``OFF_BUDGET``."""
        lines = dict(self._closed)
        for charge in self._open.values():
            _add(lines, charge)
        return tuple(lines.get(name, Charge(name)) for name in (*PHASES, *OFF_BUDGET))

    def spend(self, axis: Axis | None = None) -> float:
        """Return the spend so far on an axis (the budget's own by default); an int but for ``gpu_hours``."""
        return total(self.charges(), axis or self.budget.axis)

    def spend_at_last_step(self) -> float:
        """Return the spend when the last record was closed: what the present state of the student cost."""
        closed = (self._closed[name] for name in (*PHASES, *OFF_BUDGET) if name in self._closed)
        return total(closed, self.budget.axis)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return every phase's counts, without figures of the clock."""
        return {charge.phase: charge.counts() for charge in self.charges() if charge.phase in PHASES}

    def off_budget(self) -> dict[str, dict[str, int]]:
        """Return the counts of every line off the budget."""
        return {charge.phase: charge.counts() for charge in self.charges() if charge.phase in OFF_BUDGET}

    def device_seconds(self) -> dict[str, float]:
        """Return device-seconds of every phase and every line off the budget."""
        return {charge.phase: charge.device_seconds for charge in self.charges()}

    def progress(self) -> float:
        """Return spend / limit, in [0, 1]."""
        return min(1.0, self.spend() / self.budget.limit)

    def remaining(self) -> float:
        """Return limit - spend, at least 0."""
        return max(0, self.budget.limit - self.spend())

    # Stopping

    def largest_recent_step(self) -> float | None:
        """Return the largest cost of the last 8 steps; before the first step the planner's bound, or None."""
        return max(self._recent) if self._recent else self.first_step_bound

    def room_for(self, estimate: float | None = None) -> bool:
        """Say whether a step fits that costs ``estimate`` (by default the largest of the last 8 steps)."""
        cost = estimate if estimate is not None else self.largest_recent_step() or 0.0
        return self.remaining() > 0 and cost <= self.remaining()

    def due(self, fractions: Sequence[float], bound: float | None = None) -> tuple[float, ...]:
        """Return the fractions for which the present state must be kept before a step that costs up to ``bound``."""
        return due(fractions, self.spend_at_last_step(), self.budget.limit, bound)

    # JSON

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as plain JSON values."""
        return {
            "budget": {"axis": self.budget.axis, "limit": self.budget.limit, "mode": self.budget.mode},
            "num_devices": self.num_devices,
            "first_step_bound": self.first_step_bound,
            "num_steps": self.num_steps,
            "recent": list(self._recent),
            "in_step": self._in_step,
            "closed": _lines_to_json(self._closed),
            "open": _lines_to_json(self._open),
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a saved state in place; the clock stays as it is.

        Raises:
            BudgetError: a field is missing or impossible, or the state is of another budget.
        """
        saved = Ledger.from_json(data)
        if saved.budget != self.budget:
            raise BudgetError(f"the saved ledger is of {saved.budget}, not of {self.budget}")
        self.num_steps, self._recent, self._in_step = saved.num_steps, saved._recent, saved._in_step
        self._closed, self._open = saved._closed, saved._open

    @classmethod
    def from_json(cls, data: Mapping[str, Any], clock: Callable[[], float] = time.perf_counter) -> Ledger:
        """Rebuild a ledger; its clock is stopped.

        Raises:
            BudgetError: a field is missing or impossible.
        """
        try:
            ledger = cls(Budget(**data["budget"]), data["num_devices"], data["first_step_bound"], clock)
            ledger.num_steps, ledger._recent, ledger._in_step = data["num_steps"], list(data["recent"]), data["in_step"]
            ledger._closed, ledger._open = _lines_from_json(data["closed"]), _lines_from_json(data["open"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BudgetError(f"this is not a ledger: {error!r}") from error
        return ledger
