"""How much of a rollout batch still fits into the budget."""

from __future__ import annotations

from dataclasses import dataclass

from opdbench.budget import Ledger
from opdbench.method import Method
from opdbench.pricing import Lengths, Shapes, prompt_bound
from opdbench.trainer import TrainSettings

SMALLEST_CUT = 16
"""The last batch is cut to what fits, but not below 1/16 of a full one: less is left unspent."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the next batch of a cell may hold, by the most that its prompts can cost."""

    method: Method
    settings: TrainSettings
    shapes: Shapes
    ledger: Ledger

    def num_prompts(self) -> int:
        """Return how many prompts the next batch has: all, what still fits, or none."""
        full = self.settings.prompts_per_step
        if self.ledger.budget.axis == "steps":
            return full if self.ledger.remaining() >= self.settings.updates_per_batch else 0
        bound = self._prompt_bound()
        if bound is None:
            return full if self.ledger.room_for() else 0
        fitting = min(full, int(self.ledger.remaining() // bound)) if bound else full
        return fitting if fitting >= max(1, full // SMALLEST_CUT) else 0

    def step_bound(self, num_prompts: int) -> float | None:
        """Return the most that a batch can cost on the budget's axis; None where no bound exists beforehand."""
        if self.ledger.budget.axis == "steps":
            return self.settings.updates_per_batch
        bound = self._prompt_bound()
        return None if bound is None else bound * num_prompts

    def _prompt_bound(self) -> float | None:
        lengths = Lengths(self.settings.max_prompt_tokens, self.settings.max_tokens)
        cost = prompt_bound(self.method, self.ledger.progress(), self.shapes, lengths)
        return cost.on(self.ledger.budget.axis)
