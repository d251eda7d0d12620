"""Acme: OPD on the tokens where the teacher is sure."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import Entropy, Logp, Method, Need, PolicyGradient, Recipe, Scores, Student, Term


class Acme(Method):
    """Policy gradient with ``A_t = log T - log S`` where the teacher's entropy is at most a threshold.

    Paper: none.
    Upstream: none.
    Deviates: nothing known.
    """

    title: ClassVar[str] = "Acme"
    published: ClassVar[Recipe] = Recipe("none")

    max_entropy: float = Field(0.5, gt=0)
    """Teacher entropy, in nats, above which a token is left out."""

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student()

    def needs(self, progress: float) -> Sequence[Need]:
        """One teacher scoring pass."""
        return (Logp("teacher"), Entropy("teacher"))

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the masked policy gradient."""
        advantage = scores.logp("teacher") - scores.logp("student")
        sure = scores.entropy("teacher") <= self.max_entropy
        return (PolicyGradient(advantage, where=sure, normaliser="kept_mean"),)
