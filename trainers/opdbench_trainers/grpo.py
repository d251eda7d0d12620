"""GRPO and its variants: outcome rewards compared within a group of rollouts, no teacher."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from opdbench.api import Group, Method, Need, PolicyGradient, Recipe, Reward, Scores, Term


class GRPO(Method):
    """Policy gradient with ``A_i = (r_i - mean) / (std + 1e-6)`` on every token of a rollout, over all tokens: GRPO++.

    GRPO is ``normaliser="seq_mean"``; Dr. GRPO is ``std=null`` with ``normaliser="max_tokens"``.

    Paper: Shao et al. 2024 (GRPO, arXiv 2402.03300); GRPO++ as in TGPO (2605.13230, Eq. 4); Liu et al. 2025, Dr. GRPO.
    Upstream: volcengine/verl@1dda039 verl/trainer/ppo/core_algos.py
    Deviates: no KL to a reference. A board that takes several optimizer steps per rollout batch sets ``clip`` itself.
    """

    title: ClassVar[str] = "GRPO"
    published: ClassVar[Recipe] = Recipe(
        "TGPO (arXiv 2605.13230, B.1)",
        {"steps": 300, "learning_rate": 1e-6, "schedule": "constant", "rollouts_per_prompt": 8, "max_tokens": 8192},
    )

    size: int = Field(8, ge=2)
    """Rollouts per prompt."""
    std: Literal["sample", "population"] | None = "sample"
    """The standard deviation that advantages are divided by; None leaves them."""
    normaliser: Literal["token_mean", "seq_mean", "max_tokens"] = "token_mean"
    """Mean over all tokens, over sequences of token means, or a sum over the longest response times sequences."""
    clip: tuple[float, float] | None = None
    """PPO clip (low, high) when a rollout batch is used for more than one optimizer step."""

    def trajectory(self, progress: float) -> Group:
        """Groups of rollouts by the current student."""
        return Group(self.size)

    def needs(self, progress: float) -> Sequence[Need]:
        """Outcomes."""
        return (Reward(),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the outcome."""
        advantage = scores.spread(scores.group_advantage(std=self.std))
        mean = float(scores.max_tokens) if self.normaliser == "max_tokens" else self.normaliser
        return (PolicyGradient(advantage, clip=self.clip, normaliser=mean, label="pg"),)
