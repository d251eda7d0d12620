"""LUFFY: outcome rewards on groups that mix the student's rollouts with a trace of the teacher's."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import Group, Method, Need, PolicyGradient, Recipe, Reward, Scores, Shaped, Term, TokenLoss


class LUFFY(Method):
    """``-A p / (p + shaping)`` on the teacher's tokens, p being S of the token; ``-A ratio`` on the student's.

    ``A`` is the outcome minus the mean outcome of the group's student rollouts, undivided. Sums are divided by the
    longest response times the number of sequences. There is no clip.

    Paper: Yan et al. 2025, "Learning to Reason under Off-Policy Guidance" (arXiv 2504.14945).
    Upstream: ElliottYan/LUFFY@01f4ae0
    Deviates: no entropy bonus (published: 0.001), because no term of the contract differentiates the student's entropy;
        the trace is drawn from the board's teacher, not from a fixed data set; sums are divided by the number of
        sequences, too.
    """

    title: ClassVar[str] = "LUFFY"
    published: ClassVar[Recipe] = Recipe(
        "LUFFY (arXiv 2504.14945) and its code",
        {"learning_rate": 1e-6, "rollouts_per_prompt": 8, "off_policy_per_prompt": 1, "entropy_coefficient": 1e-3},
    )

    size: int = Field(8, ge=2)
    """Responses per prompt, the teacher's included."""
    num_offline: int = Field(1, ge=1)
    """How many of them the teacher writes."""
    shaping: float = Field(0.1, gt=0)
    """Constant of the shaped probability; larger ones weaken tokens that the student finds likely less."""

    def trajectory(self, progress: float) -> Group:
        """Groups of rollouts by the current student and traces of the teacher."""
        return Group(self.size, num_offline=self.num_offline)

    def needs(self, progress: float) -> Sequence[Need]:
        """Outcomes; the teacher writes but does not score."""
        return (Reward(),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the shaped loss of traces and the policy gradient of rollouts."""
        advantage = scores.spread(scores.group_advantage(std=None, baseline=~scores.offline))
        trace, per = scores.from_teacher, float(scores.max_tokens)
        shaped = TokenLoss(Shaped(self.shaping), weight=-advantage, where=trace, normaliser=per, label="off")
        return (shaped, PolicyGradient(advantage, where=~trace, normaliser=per, label="on"))
