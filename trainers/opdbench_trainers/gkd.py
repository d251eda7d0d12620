"""GKD: a generalised Jensen-Shannon divergence on a mix of the student's and other tokens."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from opdbench.api import (
    Dataset,
    Distribution,
    Divergence,
    Method,
    Mixed,
    Need,
    Recipe,
    Sampling,
    Scores,
    Student,
    TeacherSamples,
    Term,
)


class GKD(Method):
    """``beta KL(T || M) + (1 - beta) KL(S || M)``, ``M = beta T + (1 - beta) S``, over the full vocabulary.

    ``beta`` 0 is ``KL(T || S)`` and 1 is ``KL(S || T)``, by definition and not as limits: near the ends the divergence
    goes to 0, so learning rates do not carry over.

    Paper: Agarwal et al. 2024, "On-Policy Distillation of Language Models" (arXiv 2306.13649).
    Upstream: huggingface/trl@f2cd577 trl/experimental/gkd
    Deviates: the response limit is the board's (TRL: 128 tokens).
    """

    title: ClassVar[str] = "GKD"
    published: ClassVar[Recipe] = Recipe(
        "TRL's GKDConfig", {"lmbda": 0.5, "beta": 0.5, "temperature": 0.9, "max_tokens": 128, "seq_kd": False}
    )

    beta: float = Field(0.5, ge=0, le=1)
    """Weight of the teacher in the mixture."""
    student_fraction: float = Field(0.5, ge=0, le=1)
    """Probability that a batch is written by the student."""
    fallback: Literal["dataset", "teacher"] = "dataset"
    """Who writes the other batches: the data's reference solutions, or the teacher."""
    temperature: float = Field(0.9, gt=0)
    """Temperature of rollouts; the loss is at temperature 1."""

    def trajectory(self, progress: float) -> Mixed:
        """Rollouts by the current student, or the fallback, drawn per batch."""
        sampling = Sampling(temperature=self.temperature)
        other = Dataset() if self.fallback == "dataset" else TeacherSamples(sampling)
        return Mixed(self.student_fraction, Student(sampling), other)

    def needs(self, progress: float) -> Sequence[Need]:
        """One teacher scoring pass."""
        return (Distribution("teacher"),)

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the divergence."""
        if self.beta == 0:
            return (Divergence("forward_kl", label="fkl"),)
        if self.beta == 1:
            return (Divergence("reverse_kl", label="rkl"),)
        return (Divergence("jsd", beta=self.beta, label="jsd"),)
