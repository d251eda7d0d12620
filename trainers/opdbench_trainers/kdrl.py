"""KDRL: outcome rewards and distillation by the reverse KL in one update."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import K2, Group, Logp, Method, Need, PolicyGradient, Recipe, Reward, Scores, Term, TokenLoss


class KDRL(Method):
    """GRPO, with token mean, and ``beta (log S - log T)^2 / 2`` on the sampled tokens, over all tokens.

    Paper: Xu et al. 2025, "KDRL" (arXiv 2506.02208).
    Upstream: none; no official code is known.
    Deviates: its constants are second-hand readings of the paper. Annealing runs over the budget instead of steps, and
        ``wrong_only`` masks single responses, not whole groups.
    """

    title: ClassVar[str] = "KDRL"
    published: ClassVar[Recipe] = Recipe(
        "KDRL (arXiv 2506.02208), the coefficient alone: optimiser settings are not at hand",
        {"beta": 2e-3, "annealed_beta": "5e-3 to 1e-3, 5e-5 per step"},
    )

    size: int = Field(8, ge=2)
    """Rollouts per prompt."""
    beta: float = Field(2e-3, ge=0)
    """Weight of the distillation at the start; at 0 the teacher is not asked for."""
    decay: float = Field(0.0, ge=0)
    """What the weight loses over a whole run; the annealed variant starts at 5e-3 and loses 5e-5 per step."""
    beta_min: float = Field(0.0, ge=0)
    """Where the weight stops falling; 1e-3 in the annealed variant."""
    wrong_only: bool = False
    """Distil only on responses with outcome 0."""
    as_advantage: bool = False
    """Add ``beta (log T - log S_old)`` to the advantage instead: the same gradient in the first optimizer step."""
    clip: tuple[float, float] | None = None
    """PPO clip (low, high) of the policy gradient when a rollout batch is used for more than one optimizer step."""

    def weight(self, progress: float) -> float:
        """Return the weight of the distillation at some progress."""
        return max(self.beta - self.decay * progress, min(self.beta, self.beta_min))

    def trajectory(self, progress: float) -> Group:
        """Groups of rollouts by the current student."""
        return Group(self.size)

    def needs(self, progress: float) -> Sequence[Need]:
        """Outcomes and, as long as it distils, one teacher scoring pass."""
        return (Reward(), Logp("teacher")) if self.weight(progress) else (Reward(),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the outcome and the distillation."""
        advantage, beta = scores.spread(scores.group_advantage()), self.weight(progress)
        if not beta:
            return (PolicyGradient(advantage, clip=self.clip, label="pg"),)
        log_t = scores.logp("teacher")
        wrong = scores.spread(scores.reward == 0) if self.wrong_only else None
        if self.as_advantage:
            pull = beta * (log_t - scores.logp("student"))
            advantage = advantage + (pull if wrong is None else pull.where(wrong, 0.0))
            return (PolicyGradient(advantage, clip=self.clip, label="pg"),)
        k2 = TokenLoss(K2(), constant=log_t, weight=beta, where=wrong, label="k2")
        return (PolicyGradient(advantage, clip=self.clip, label="pg"), k2)
