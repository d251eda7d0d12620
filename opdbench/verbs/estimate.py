"""What a cell will cost, from shapes and limits alone.

Prompts and responses are priced at their longest, so batches and the axes that the budget does not limit are rough;
the axis that it does limit is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from opdbench import registry
from opdbench.config import BoardConfig
from opdbench.errors import ConfigError
from opdbench.method import Method
from opdbench.outline import PROGRESS
from opdbench.plan import Cell
from opdbench.plan.models import Models
from opdbench.plan.price import shapes_of
from opdbench.pricing import Cost, Lengths, step_bound


@dataclass(frozen=True, slots=True)
class Estimate:
    """Training in rollout batches, FLOPs, generated tokens and GPU-hours; evaluation in samples and tokens at most.

    None where nothing is known beforehand.
    """

    batches: float | None = 0.0
    flops: float | None = 0.0
    tokens: float | None = 0.0
    gpu_hours: float | None = 0.0
    evaluation_samples: int = 0
    evaluation_tokens: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Estimate]) -> Estimate:
        """Add up; an unknown part leaves its sum unknown."""
        parts = list(parts)
        sums: dict[str, Any] = {
            field.name: _total([getattr(part, field.name) for part in parts]) for field in fields(cls)
        }
        return cls(**sums)


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Estimator:
    """Prices the cells of one board; seeds of a row cost the same."""

    def __init__(self, board: BoardConfig) -> None:
        self.board = board
        self._costs: dict[str, Cost | None] = {}

    @cached_property
    def _models(self) -> Models:
        return Models(self.board)

    def cell(self, cell: Cell) -> Estimate:
        """Return the estimate of one cell."""
        early = len(cell.fractions) - 1
        counts = [
            (task.num_problems * ((task.k or 0) + early * (task.checkpoint_k or 0)), task.sampling)
            for task in cell.tasks
        ]
        samples = sum(count for count, _ in counts)
        tokens = sum(count * (sampling.max_tokens or 0) for count, sampling in counts if sampling)
        return Estimate(*self._training(cell), evaluation_samples=samples, evaluation_tokens=tokens)

    def _training(self, cell: Cell) -> tuple[float | None, float | None, float | None, float | None]:
        if not cell.is_trained:
            return 0.0, 0.0, 0.0, 0.0
        axis, limit = cell.budget.axis, float(cell.budget.limit)
        exact = {axis: limit}
        cost = self._cost(cell)
        one = cost.on(axis) if cost else None
        if cell.settings is not None and axis == "steps":
            one = float(cell.settings.updates_per_batch)
        batches = limit / one if one else None
        flops = batches * cost.flops if cost and batches is not None else None
        tokens = batches * cost.tokens if cost and batches is not None else None
        return batches, exact.get("flops", flops), exact.get("tokens", tokens), exact.get("gpu_hours")

    def _cost(self, cell: Cell) -> Cost | None:
        """Return the mean cost of a rollout batch; None for foreign trainers and unknown shapes."""
        if cell.row not in self._costs:
            self._costs[cell.row] = self._mean_cost(cell)
        return self._costs[cell.row]

    def _mean_cost(self, cell: Cell) -> Cost | None:
        if cell.method is None or cell.settings is None:
            return None
        try:
            shapes = shapes_of(self.board.row(cell.row), self._models, cell.settings)
        except ConfigError:
            return None
        method: Method = registry.load("methods", cell.method).model_validate(dict(cell.config))
        lengths = Lengths(cell.settings.max_prompt_tokens, cell.settings.max_tokens)
        costs = [step_bound(method, part, shapes, lengths, cell.settings.prompts_per_step) for part in PROGRESS]
        count = len(costs)
        return Cost(sum(cost.flops for cost in costs) // count, sum(cost.tokens for cost in costs) // count)
