"""OPSD: on-policy self-distillation, the teacher being the student before training with the solution in its prompt."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from opdbench.api import Distribution, Divergence, Method, Need, Recipe, Role, Sampling, Scores, Student, Term


class OPSD(Method):
    """Generalised JSD to a teacher that sees the reference solution, both logits divided by the sampling temperature.

    The board's teacher is ``self``. ``beta`` 0 is ``KL(T || S)`` and 1 is ``KL(S || T)``, as in GKD.

    Paper: OPSD 2026 (arXiv 2601.18734).
    Upstream: siyan-zhao/OPSD@590ec26
    Deviates: the text around the reference solution is the task's.
    """

    title: ClassVar[str] = "OPSD"
    published: ClassVar[Recipe] = Recipe(
        "siyan-zhao/OPSD@590ec26", {"learning_rate": 2e-4, "lora_rank": 64, "lora_alpha": 128, "max_tokens": 2048}
    )

    beta: float = Field(0.5, ge=0, le=1)
    """Weight of the teacher in the mixture."""
    temperature: float = Field(1.1, gt=0)
    """Temperature of rollouts, and of both sides of the divergence."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Nucleus of rollouts."""
    sampling_top_k: int = Field(20, ge=0)
    """Most likely tokens that rollouts are drawn from; 0 is off."""
    template: str = "reference"
    """The task's template that shows the teacher the reference solution."""
    top_k: int | None = Field(None, ge=1)
    """Sum over the teacher's k most likely tokens; None is the full vocabulary (an option upstream: 50)."""
    renorm: Literal["none", "teacher", "both"] = "none"
    """Which sides are renormalised over the top k (both, upstream)."""
    entry_cap: float | None = Field(None, gt=0)
    """Cap each vocabulary entry of the divergence, as forks do (0.05 with ``beta`` 0)."""

    @property
    def templates(self) -> Mapping[Role, str]:
        """The teacher alone sees the reference solution."""
        return {"teacher": self.template}

    def trajectory(self, progress: float) -> Student:
        """One rollout per prompt by the current student."""
        return Student(Sampling(self.temperature, self.top_p, self.sampling_top_k))

    def needs(self, progress: float) -> Sequence[Need]:
        """One teacher scoring pass."""
        return (Distribution("teacher"),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the divergence."""
        kind = "forward_kl" if self.beta == 0 else "reverse_kl" if self.beta == 1 else "jsd"
        cap = None if self.entry_cap is None else ("entry", self.entry_cap)
        jsd = Divergence(
            kind,
            beta=self.beta,
            top_k=self.top_k,
            renorm=self.renorm,
            cap=cap,
            temperature=self.temperature,
            label=kind,
        )
        return (jsd,)
