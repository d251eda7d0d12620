"""One model on one task: sample, grade, score. Every stage goes on from what the one before left on disk."""

from opdbench.evaluation.question import Digests, Evaluation, data_digests, eval_key
from opdbench.evaluation.samples import Progress, draw_samples, grade_samples, stored_grades, stored_samples
from opdbench.evaluation.scores import Evaluated, score, score_grades

__all__ = [
    "Digests",
    "Evaluated",
    "Evaluation",
    "Progress",
    "data_digests",
    "draw_samples",
    "eval_key",
    "grade_samples",
    "score",
    "score_grades",
    "stored_grades",
    "stored_samples",
]
