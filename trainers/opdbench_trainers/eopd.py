"""EOPD: on-policy distillation plus a forward KL where the teacher is uncertain."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from opdbench.api import (
    Distribution,
    Divergence,
    Entropy,
    Logp,
    Method,
    Need,
    PolicyGradient,
    Recipe,
    Scores,
    Student,
    Term,
)


class EOPD(Method):
    """OPD on all tokens and ``alpha sum_topk T~ (log T~ - log S)`` where the teacher's entropy is at least a threshold.

    The two are added, not switched between, and both are divided by all response tokens. ``T~`` is the teacher
    renormalised over its top k; the student is not renormalised.

    Paper: Jin et al. 2026, "Entropy-Aware On-Policy Distillation of Language Models" (arXiv 2603.07079).
    Upstream: ckjsuperhh/CacheEOPD@122d030, a fork of the official WLS04/EOPD
    Deviates: the entropy gate is ``>=`` as in the code (the paper prints ``>``); the code's divergence, shifted by one
        position against its gate, is not copied.
    """

    title: ClassVar[str] = "EOPD"
    published: ClassVar[Recipe] = Recipe(
        "EOPD (arXiv 2603.07079)",
        {
            **{"learning_rate": 3e-6, "schedule": "cosine", "optimizer": "AdamW", "prompts_per_step": 128},
            **{"updates_per_batch": 4, "rollouts_per_prompt": 1, "max_tokens": 4096},
        },
    )

    alpha: float = Field(1.0, ge=0)
    """Weight of the forward KL."""
    entropy_threshold: float = Field(0.8, ge=0)
    """Teacher entropy in nats, over the full vocabulary, from which the forward KL applies."""
    top_k: int = Field(16, ge=1)
    """The forward KL sums over the teacher's k most likely tokens (TrOPD's bench: 64)."""
    renorm: Literal["none", "teacher", "both"] = "teacher"
    """Which sides are renormalised over the top k."""
    clip: tuple[float, float] | None = (0.2, 0.2)
    """PPO clip (low, high); idle in the first optimizer step on a rollout batch."""

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student()

    def needs(self, progress: float) -> Sequence[Need]:
        """One teacher scoring pass, which gives all three."""
        return (Logp("teacher"), Entropy("teacher"), Distribution("teacher"))

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient and the forward KL of uncertain positions."""
        advantage = scores.logp("teacher") - scores.logp("student")
        unsure = scores.entropy("teacher") >= self.entropy_threshold
        fkl = Divergence(
            "forward_kl", top_k=self.top_k, renorm=self.renorm, where=unsure, weight=self.alpha, label="fkl"
        )
        return (PolicyGradient(advantage, clip=self.clip, label="pg"), fkl)
