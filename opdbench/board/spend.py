"""What the rows spent, by phase, and whether they spent the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opdbench.board.evidence import Evidence
from opdbench.budget import (
    ACCOUNTINGS,
    EQUAL_TOLERANCE,
    OFF_BUDGET,
    PHASES,
    Accounting,
    Axis,
    Charge,
    charges_from_json,
    spread,
    total,
)
from opdbench.records import Result

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PhaseSpend:
    """One phase, or one line off the budget, as a mean over the seeds that ran."""

    generated_tokens: float
    scored_tokens: float
    trained_tokens: float
    flops: float

    @property
    def tokens(self) -> float:
        """All tokens that the phase touched."""
        return self.generated_tokens + self.scored_tokens + self.trained_tokens


@dataclass(frozen=True, slots=True)
class Spend:
    """What a row spent. Everything is a mean over its seeds but ``by_seed``, which is on the budget's axis.

    ``accountings`` maps axis (``flops``, ``tokens``) to accounting to spend: everything; teacher generation free;
    teacher generation and scoring free.
    """

    limit: float
    by_seed: Mapping[int, float]
    mean: float
    phases: Mapping[str, PhaseSpend]
    off_budget: Mapping[str, PhaseSpend]
    accountings: Mapping[str, Mapping[Accounting, float]]
    counts: Mapping[str, float]
    is_over: bool


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether trained rows spent the same: largest over smallest spend of any run, None when nothing compares."""

    ratio: float | None
    is_equal: bool


def spend_of(evidence: Evidence, axis: Axis, limit: float) -> Spend | None:
    """Summarise the ledgers of a row, also of runs that diverged or failed; None when no run is there."""
    runs = [evidence.results[seed] for seed in sorted(evidence.results)]
    if not runs:
        return None
    charges = [_charges(run) for run in runs]
    by_seed = {run.seed: total(items, axis) for run, items in zip(runs, charges, strict=True)}
    return Spend(
        limit,
        by_seed,
        _mean(by_seed.values()),
        _by_phase(charges, PHASES),
        _by_phase(charges, OFF_BUDGET),
        {unit: _accountings(charges, unit) for unit in ("flops", "tokens")},
        _mean_counts(runs),
        any(spend > limit * (1 + ROUNDING) for spend in by_seed.values()),
    )


def equality(spends: Sequence[Spend]) -> Equality:
    """Compare the runs of all rows that spent anything; rows without training cost are exempt."""
    values = [value for spend in spends for value in spend.by_seed.values() if spend.mean > 0]
    if len(values) < 2 or min(values) <= 0:
        return Equality(None, len(values) < 2)
    return Equality(max(values) / min(values), spread(values) <= EQUAL_TOLERANCE)


def _charges(run: Result) -> tuple[Charge, ...]:
    return charges_from_json(run.ledger, run.timing.get("device_seconds", {}))


def _by_phase(charges: Sequence[Sequence[Charge]], names: Iterable[str]) -> dict[str, PhaseSpend]:
    """Average every named line that is not zero everywhere, in the order of the names."""
    lines: dict[str, PhaseSpend] = {}
    for name in names:
        found = [[charge for charge in items if charge.phase == name] for items in charges]
        line = PhaseSpend(
            _mean_of(found, lambda charge: charge.generated_tokens),
            _mean_of(found, lambda charge: charge.scored_tokens),
            _mean_of(found, lambda charge: charge.trained_tokens),
            _mean_of(found, lambda charge: charge.flops),
        )
        if line.tokens or line.flops:
            lines[name] = line
    return lines


def _accountings(charges: Sequence[Sequence[Charge]], axis: Axis) -> dict[Accounting, float]:
    return {name: _mean([total(items, axis, name) for items in charges]) for name in ACCOUNTINGS}


def _mean_counts(runs: Sequence[Result]) -> dict[str, float]:
    names = sorted({name for run in runs for name in run.training})
    return {name: _mean([run.training[name] for run in runs if name in run.training]) for name in names}


def _mean_of(found: Sequence[Sequence[Charge]], amount: Callable[[Charge], float]) -> float:
    return _mean([sum(amount(charge) for charge in items) for items in found])


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
