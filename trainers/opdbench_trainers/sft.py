"""SFT: maximum likelihood on the teacher's completions, the off-policy baseline of every distillation paper."""

from collections.abc import Sequence
from typing import ClassVar

from opdbench.api import Method, Nll, Recipe, Sampling, Scores, TeacherSamples, Term, TokenLoss


class SFT(Method):
    """``-log S(y_t)`` on teacher samples, averaged over all response tokens, the end-of-sequence token included.

    Paper: Kim and Rush 2016, "Sequence-Level Knowledge Distillation"; as run in TGPO (arXiv 2605.13230, 4.1).
    Upstream: none.
    Deviates: completions are drawn as training needs them, so that a budget is never gone before the first update.
    """

    title: ClassVar[str] = "SFT"
    published: ClassVar[Recipe] = Recipe(
        "TGPO (arXiv 2605.13230, 4.1)",
        {"epochs": 3, "prompts_per_step": 64, "learning_rate": 5e-5, "warmup": 0.1, "max_tokens": 16384},
    )

    temperature: float = 1.0
    """Temperature of the teacher's completions."""

    def trajectory(self, progress: float) -> TeacherSamples:
        """One teacher completion per prompt, reused in later epochs."""
        return TeacherSamples(Sampling(temperature=self.temperature))

    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Return the negative log-likelihood."""
        return (TokenLoss(Nll(), label="nll"),)
