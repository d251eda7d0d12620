"""The prompt stream and the learning rate: what every row of a board has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from opdbench.records import derive_seed
from opdbench.trainer import TrainingProblem, TrainSettings
from opdbench.training.trajectories import Slot


class PromptStream:
    """All problems in an order that depends on the seed and the pass alone, so that rows see the same prompts."""

    def __init__(self, problems: Sequence[TrainingProblem], seed: int) -> None:
        self._problems, self._seed = problems, seed
        self._orders: dict[int, list[int]] = {}

    def take(self, start: int, count: int) -> list[Slot]:
        """Return ``count`` slots from place ``start`` of the endless stream."""
        return [self._slot(index) for index in range(start, start + count)]

    def _slot(self, index: int) -> Slot:
        epoch, place = divmod(index, len(self._problems))
        return Slot(index, epoch, self._problems[self._order(epoch)[place]])

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            key = derive_seed(self._seed, "order", epoch)
            order = np.random.Generator(np.random.Philox(key=key)).permutation(len(self._problems))
            self._orders = {epoch: order.tolist()}
        return self._orders[epoch]


def learning_rate(settings: TrainSettings, progress: float) -> float:
    """Return the learning rate at a spend / limit: linear warm-up, then decay to 0 at the end of the budget."""
    if progress < settings.warmup:
        return settings.learning_rate * progress / settings.warmup
    done = (progress - settings.warmup) / (1 - settings.warmup)
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return settings.learning_rate * shape[settings.schedule]
