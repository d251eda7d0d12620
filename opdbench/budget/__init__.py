"""What a cell may spend, what it has spent, and the rules that keep rows comparable.

A ledger counts spend by phase on four axes at once; its budget limits one of them. Tokens, FLOPs and optimizer steps
are integers and add up exactly, so two runs of a cell agree to the last digit. Device-seconds come from the clock and
stand apart, under ``timing`` in every JSON form.

How a loop uses it::

    ledger.start_clock()
    while ledger.room_for():
        if ledger.due(fractions, bound):        # this step may cross 25/50/75 %: keep the state before it
            snapshot()
        ledger.begin_step()
        with ledger.phase("student_rollout") as meter:
            meter.add(generated_tokens=512, flops=10**9)
        record = ledger.end_step()              # one line of the log; ``replay`` recomputes the ledger from the log
        promote(record.crossed(fractions))      # the snapshot is the checkpoint of these fractions
    ledger.stop_clock()
    last = ledger.close()                       # what came after the last step; a line of the log too, or None
    # Fractions that were never crossed: the last state is their checkpoint.
"""

from opdbench.budget.amounts import (
    ACCOUNTINGS,
    AXES,
    COUNTS,
    MAX_STEP_FRACTION,
    OFF_BUDGET,
    PHASES,
    Accounting,
    Axis,
    Budget,
    Charge,
    Meter,
    OffBudget,
    Phase,
    charges_from_json,
    total,
)
from opdbench.budget.ledger import Ledger
from opdbench.budget.record import StepRecord, crossed, due
from opdbench.budget.rules import (
    EQUAL_TOLERANCE,
    cut_batch,
    redone_seconds,
    replay,
    spend_by_accounting,
    spread,
)

__all__ = [
    "ACCOUNTINGS",
    "AXES",
    "COUNTS",
    "EQUAL_TOLERANCE",
    "MAX_STEP_FRACTION",
    "OFF_BUDGET",
    "PHASES",
    "Accounting",
    "Axis",
    "Budget",
    "Charge",
    "Ledger",
    "Meter",
    "OffBudget",
    "Phase",
    "StepRecord",
    "charges_from_json",
    "crossed",
    "cut_batch",
    "due",
    "redone_seconds",
    "replay",
    "spend_by_accounting",
    "spread",
    "total",
]
