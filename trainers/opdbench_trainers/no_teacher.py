"""No teacher: the update of OPD with the student's own start in the teacher's place, a control."""

from collections.abc import Sequence
from typing import ClassVar

from opdbench.api import Logp, Method, Need, PolicyGradient, Recipe, Scores, Student, Term


class NoTeacher(Method):
    """Policy gradient with ``A_t = log R(y_t) - log S_old(y_t)``, R being the student before training.

    It pulls the student back to where it started, so the first update on a rollout batch of the start is zero. What a
    method gains over this row is what its teacher adds.

    Paper: none; the idea of controls that use no teacher is from arXiv 2608.31046.
    Upstream: none.
    Deviates: from OPD in the teacher alone; the construction is ours. The row's reference must be the student's
        start (reference = "self").
    """

    title: ClassVar[str] = "No teacher (control)"
    published: ClassVar[Recipe] = Recipe("none: a control of this benchmark; run it with the settings of OPD's row")

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student()

    def needs(self, progress: float) -> Sequence[Need]:
        """One scoring pass by the reference."""
        return (Logp("reference"),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the log-ratio to the start."""
        return (PolicyGradient(scores.logp("reference") - scores.logp("student"), label="pg"),)
