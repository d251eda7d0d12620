"""Rules over ledgers: accountings, equality of rows, cutting the last batch, recomputing spend from a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from opdbench.budget.amounts import Accounting, Axis, Budget, total
from opdbench.budget.ledger import Ledger
from opdbench.budget.record import StepRecord
from opdbench.errors import BudgetError

EQUAL_TOLERANCE = 0.02


def spend_by_accounting(ledger: Ledger, axis: Axis, accounting: Accounting) -> float:
    """Return spend with everything counted, with the teacher's writing free, or with its scoring free as well."""
    return total(ledger.charges(), axis, accounting)


def spread(spends: Sequence[float]) -> float:
    """Return (largest - smallest) / largest; rows above ``EQUAL_TOLERANCE`` are not called equal."""
    largest = max(spends, default=0.0)
    return (largest - min(spends)) / largest if largest > 0 else 0.0


def cut_batch(costs: Sequence[float], remaining: float, group: int = 1) -> int:
    """Return the largest number of leading sequences whose costs, summed, fit into what remains.

    ``costs`` are each sequence's worst case over all phases of the step, in units of the axis. With ``group`` the
    number is a multiple of it: rollouts of one prompt stay together.
    """
    fitting = sum(1 for spend in accumulate(costs) if spend <= remaining)
    return fitting - fitting % group


def redone_seconds(records: Iterable[StepRecord]) -> float:
    """Return the device-seconds of logged steps that a killed run must do again, for the ``redone`` line.

    Diagnostics are left out: a budget in ``gpu_hours`` counts that line, and pays for no diagnostics.
    """
    charges = (charge for record in records for charge in record.charges)
    return sum(charge.device_seconds for charge in charges if charge.phase != "diagnostics")


def replay(
    budget: Budget, records: Iterable[StepRecord], num_devices: int = 1, first_step_bound: float | None = None
) -> Ledger:
    """Recompute a ledger from its log alone; equal to the ledger that wrote the log.

    Raises:
        BudgetError: a record is missing or doubled, or states another spend than its charges come to.
    """
    ledger = Ledger(budget, num_devices, first_step_bound)
    for number, record in enumerate(records, start=1):
        for charge in record.charges:
            ledger.charge(charge)
        if record.step is not None:
            ledger.begin_step()
        again = ledger.close() if record.step is None else ledger.end_step()
        if again != record:
            raise BudgetError(f"spend log, record {number}: it says {record}, its charges come to {again}")
    return ledger
