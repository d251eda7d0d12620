"""TGPO_R: TGPO's ablation that puts the teacher's guidance into the reward instead of the loss."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import Group, Logp, Method, Need, PolicyGradient, Recipe, Reward, Scores, Term


class TGPO_R(Method):
    """GRPO++ with the advantage ``A_i + coefficient log S_old(y*)``, ``y*`` being the teacher's most likely token.

    The addition is never positive and scores ``y*``, while the gradient moves the sampled token.

    Paper: TGPO 2026 (arXiv 2605.13230), the variant "TGPO_R" with a shaped reward.
    Upstream: none; no official code is known.
    Deviates: the paper does not state the coefficient; 0.1 is ours.
    """

    title: ClassVar[str] = "TGPO_R"
    published: ClassVar[Recipe] = Recipe(
        "TGPO (arXiv 2605.13230, B.1)",
        {"steps": 300, "learning_rate": 1e-6, "schedule": "constant", "rollouts_per_prompt": 8, "max_tokens": 8192},
    )

    size: int = Field(8, ge=2)
    """Rollouts per prompt."""
    coefficient: float = Field(0.1, ge=0)
    """Weight of the shaped reward; at 0 the teacher is not asked for."""
    clip: tuple[float, float] | None = None
    """PPO clip (low, high) when a rollout batch is used for more than one optimizer step."""

    def trajectory(self, progress: float) -> Group:
        """Groups of rollouts by the current student."""
        return Group(self.size)

    def needs(self, progress: float) -> Sequence[Need]:
        """Outcomes; one teacher scoring pass and one of the student before the update."""
        return (Reward(), Logp("student", at="teacher_argmax")) if self.coefficient else (Reward(),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the shaped outcome."""
        advantage = scores.spread(scores.group_advantage())
        if self.coefficient:
            advantage = advantage + self.coefficient * scores.logp("student", at="teacher_argmax")
        return (PolicyGradient(advantage, clip=self.clip, label="pg"),)
