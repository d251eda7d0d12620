"""ExOPD: generalised on-policy distillation, which rewards going beyond the teacher, away from a reference."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from opdbench.api import Logp, Method, Need, PolicyGradient, Recipe, RolloutLogp, Scores, Student, Term


class ExOPD(Method):
    """Policy gradient with ``A = (log T - log S_old) + (extrapolation - 1)(log T - log R)``.

    At 1 it is OPD and no reference is asked for; at 0 the teacher cancels out. The reference R is the board's: the
    student before training, or the teacher before its reinforcement learning ("reward correction"). Where a board names
    teachers by domain and a sequence's domain has none, the default teacher scores it and nothing is extrapolated.

    Paper: Yang et al. 2026, "Learning beyond Teacher" (arXiv 2602.12125); other extrapolations are its G-OPD.
    Upstream: RUCBM/G-OPD@37371a4 verl/workers/actor/dp_actor.py
    Deviates: the sign is the code's (Eq. 14 prints the negative); without a reference nothing runs, where the code goes
        on as OPD.
    """

    title: ClassVar[str] = "ExOPD"
    published: ClassVar[Recipe] = Recipe(
        "G-OPD (arXiv 2602.12125, Table 6 and B)",
        {
            **{"steps": 50, "steps_strong_to_weak": 100, "learning_rate": 1e-5, "warmup": 0.0, "updates_per_batch": 1},
            **{"prompts_per_step": 1024, "rollouts_per_prompt": 1, "temperature": 1.0, "max_tokens": 16384},
        },
    )

    extrapolation: float = Field(1.25, ge=0)
    """Lambda: below 1 between reference and teacher, above 1 beyond the teacher."""
    clip: tuple[float, float] | None = (0.2, 0.2)
    """PPO clip (low, high); idle in the first optimizer step on a rollout batch."""
    dual_clip: float | None = Field(3.0, gt=1)
    """PPO's cap on the loss of tokens with a negative advantage; idle there too."""
    correction: float | None = Field(None, gt=0)
    """Cap of the importance weight between trainer and engine (upstream's rollout correction: 5.0); None is off."""

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student()

    def needs(self, progress: float) -> Sequence[Need]:
        """One scoring pass by the teacher and, unless extrapolation is 1, one by the reference."""
        reference = (Logp("reference"),) if self.extrapolation != 1 else ()
        rollout = (RolloutLogp(),) if self.correction is not None else ()
        return (Logp("teacher"), *reference, *rollout)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the policy gradient of the extrapolated log-ratio."""
        log_t = scores.logp("teacher")
        advantage = log_t - scores.logp("student")
        if self.extrapolation != 1:
            beyond = (self.extrapolation - 1) * (log_t - scores.logp("reference"))
            advantage = advantage + beyond * scores.spread(scores.has_teacher)
        pg = PolicyGradient(
            advantage, clip=self.clip, dual_clip=self.dual_clip, rollout_correction=self.correction, label="pg"
        )
        return (pg,)
