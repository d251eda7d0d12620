"""One line of the log that spend can be recomputed from, and where checkpoints fall between lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.budget.amounts import Charge, charges_from_json
from opdbench.errors import BudgetError


def due(fractions: Sequence[float], spend: float, limit: float, bound: float | None = None) -> tuple[float, ...]:
    """Return the fractions whose checkpoint the state before the next step may turn out to be.

    A p checkpoint is the last state with spend <= p x limit. Whether that is the present state shows only when the
    next step's cost is known, so it is kept whenever ``spend + bound`` passes p x limit. ``bound`` must be what the
    step can cost at most; None, where no such bound is known (``gpu_hours``), makes every open fraction due.
    """
    return tuple(p for p in fractions if spend <= p * limit and (bound is None or spend + bound > p * limit))


def crossed(fractions: Sequence[float], spend_before: float, spend_after: float, limit: float) -> tuple[float, ...]:
    """Return the fractions for which the state before a step is the last one with spend <= p x limit."""
    return tuple(p for p in fractions if spend_before <= p * limit < spend_after)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Everything charged since the record before it; the records of a cell add up to its ledger.

    ``step`` counts from 1 and is None for what came after the last step. ``spend_before`` and ``spend_after`` are in
    units of the budget's axis. ``charges`` holds at most one charge of each phase.
    """

    step: int | None
    spend_before: float
    spend_after: float
    limit: float
    charges: tuple[Charge, ...]

    def crossed(self, fractions: Sequence[float]) -> tuple[float, ...]:
        """Return the fractions whose checkpoint is the state before this step."""
        return crossed(fractions, self.spend_before, self.spend_after, self.limit)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; zeros are left out, and figures of the clock are under ``timing``."""
        phases = {
            charge.phase: {name: count for name, count in charge.counts().items() if count} for charge in self.charges
        }
        return {
            "step": self.step,
            "spend_before": self.spend_before,
            "spend_after": self.spend_after,
            "limit": self.limit,
            "phases": phases,
            "timing": {charge.phase: charge.device_seconds for charge in self.charges},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepRecord:
        """Rebuild a record.

        Raises:
            BudgetError: a field is missing or impossible.
        """
        try:
            charges = charges_from_json(data["phases"], data["timing"])
            return cls(data["step"], data["spend_before"], data["spend_after"], data["limit"], charges)
        except (KeyError, TypeError, AttributeError) as error:
            raise BudgetError(f"this is not a line of a spend log: {error!r}") from error
