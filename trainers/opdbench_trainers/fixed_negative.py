"""Fixed negative: one constant negative advantage on tokens that were unlikely from the start, a control."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import Logp, Method, Need, PolicyGradient, Recipe, Scores, Student, Term


class FixedNegative(Method):
    """Policy gradient with the same advantage on every token whose ``log R(y_t)`` is under a threshold, zero elsewhere.

    R is the student before training, not the current one: otherwise the update would chase the tokens that it made
    unlikely itself. The mean is over all response tokens.

    Paper: none; the idea of controls that use no teacher is from arXiv 2608.31046.
    Upstream: none.
    Deviates: both constants are ours. 0.05 takes in the tail of a distribution and leaves every token that the student
        would often say; -1 is the size of a log-ratio where teacher and student disagree by a factor of e.
    """

    title: ClassVar[str] = "Fixed negative (control)"
    published: ClassVar[Recipe] = Recipe("none: a control of this benchmark; run it with the settings of OPD's row")

    threshold: float = Field(math.log(0.05), lt=0)
    """Log-probability under the student before training below which a token is pushed down."""
    advantage: float = Field(-1.0, lt=0)
    """The advantage of those tokens."""

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student()

    def needs(self, progress: float) -> Sequence[Need]:
        """One scoring pass by the reference."""
        return (Logp("reference"),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the constant."""
        log_r = scores.logp("reference")
        advantage = log_r.new_full(log_r.shape, self.advantage)
        return (PolicyGradient(advantage, where=log_r < self.threshold, label="pg"),)
