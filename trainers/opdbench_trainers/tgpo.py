"""TGPO: outcome rewards, and on every token of the student's the likelihood of what the teacher would have said."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from opdbench.api import Argmax, Group, Method, Need, Nll, PolicyGradient, Recipe, Reward, Scores, Term, TokenLoss


class TGPO(Method):
    """GRPO++ and ``w`` times ``-log S(y*)``, where ``y*`` is the teacher's most likely token on the student's prefix.

    The first part is averaged over tokens, the second over sequences of token means. Once an annealed ``w`` is 0 the
    teacher is neither called nor paid.

    Paper: TGPO 2026 (arXiv 2605.13230, Eqs. 3, 4, 6).
    Upstream: none; no official code is known.
    Deviates: Eq. 3 has a minus inside an objective that is maximised, which would drive the student away from ``y*``;
        the sign follows the text. Annealing runs over the budget instead of steps.
    """

    title: ClassVar[str] = "TGPO"
    published: ClassVar[Recipe] = Recipe(
        "TGPO (arXiv 2605.13230, B.1)",
        {"steps": 300, "learning_rate": 1e-6, "schedule": "constant", "rollouts_per_prompt": 8, "max_tokens": 8192},
    )

    size: int = Field(8, ge=2)
    """Rollouts per prompt."""
    weight: float = Field(2e-3, ge=0)
    """Weight ``w`` of the guidance at the start."""
    decay: float = Field(0.0, ge=0)
    """What the weight loses over a whole run, down to 0; TGPO-annealing: 1e-5 in each of 300 steps, so 3e-3."""
    normaliser: Literal["seq_mean", "token_mean"] = "seq_mean"
    """Mean of the guidance: Eq. 3 divides by each sequence's length; ``token_mean`` divides as Eq. 4 does."""
    clip: tuple[float, float] | None = None
    """PPO clip (low, high) of the first part; Eq. 4 prints none."""

    def guidance(self, progress: float) -> float:
        """Return the weight at some progress."""
        return max(self.weight - self.decay * progress, 0.0)

    def trajectory(self, progress: float) -> Group:
        """Groups of rollouts by the current student."""
        return Group(self.size)

    def needs(self, progress: float) -> Sequence[Need]:
        """Outcomes and, as long as there is guidance, one teacher scoring pass."""
        return (Reward(), Argmax("teacher")) if self.guidance(progress) else (Reward(),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the outcome and the guidance."""
        pg = PolicyGradient(scores.spread(scores.group_advantage()), clip=self.clip, label="pg")
        if not (weight := self.guidance(progress)):
            return (pg,)
        target = scores.argmax("teacher")
        return (pg, TokenLoss(Nll(), target=target, weight=weight, normaliser=self.normaliser, label="guidance"))
