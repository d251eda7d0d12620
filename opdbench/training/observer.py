"""Looks at a batch before its update, off the budget: rewards that no method asked for, and the diagnostics."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import Tensor

from opdbench.budget import Ledger
from opdbench.errors import GradingError
from opdbench.method import Trajectory
from opdbench.trainer import TrainSettings
from opdbench.training.batch import Batch
from opdbench.training.diagnostics import diagnose

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Observer:
    """What the settings ask to be looked at. It decides by the number of the step alone, so a resumed log is equal."""

    settings: TrainSettings
    ledger: Ledger
    _is_broken: bool = field(default=False, init=False)

    def look(self, batch: Batch, trajectory: Trajectory, step: int) -> tuple[Tensor | None, dict[str, float]]:
        """Return outcomes ``[B]``, None where nobody wants them, and the diagnostics by name."""
        diagnosing = _is_due(self.settings.diagnose_every, step)
        wanted = diagnosing or _is_due(self.settings.observe_reward_every, step)
        rewards_B = batch.scores.rewards_B
        if rewards_B is None and wanted:
            rewards_B = self._rewards(batch)
        if not diagnosing or rewards_B is None:
            return rewards_B, {}
        return rewards_B, diagnose(batch, trajectory, rewards_B, self.ledger)

    def _rewards(self, batch: Batch) -> Tensor | None:
        """Grade; a grader that cannot be set up is said once and stops nothing."""
        if self._is_broken:
            return None
        try:
            return batch.rewards("diagnostics")
        except GradingError as error:
            self._is_broken = True
            log.warning("training rollouts are not graded: %s", error)
            return None


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
