"""The contract of a method: the published algorithm, in frozen dataclasses and without a loop.

A method says which trajectories it trains on, which scores of them it needs, and which terms it minimises. It never
sees a model, an optimizer or an engine, and imports no torch: tensors' own methods and the helpers of ``Scores``
suffice. ``training`` only evaluates what is said here; ``docs/contracts.md`` shows every known method in it.

Shapes: ``N`` response tokens of a rollout batch, packed; ``B`` sequences. Scores, advantages, masks and draws are
computed once per rollout batch and are constants to the gradient; denominators are computed per optimizer step.
"""

from opdbench.method.contract import Method, Recipe
from opdbench.method.functions import K2, K3, LogMixture, LogRatio, Nll, Shaped, TokenFunction
from opdbench.method.needs import Argmax, Distribution, Entropy, Logp, Need, Reward, Role, RolloutLogp
from opdbench.method.scores import Scores
from opdbench.method.terms import Divergence, Normaliser, PolicyGradient, Term, TokenLoss
from opdbench.method.trajectories import (
    Author,
    Dataset,
    Group,
    Mixed,
    Refined,
    Sampling,
    Student,
    TeacherPrefix,
    TeacherSamples,
    Trajectory,
)

__all__ = [
    "K2",
    "K3",
    "Argmax",
    "Author",
    "Dataset",
    "Distribution",
    "Divergence",
    "Entropy",
    "Group",
    "LogMixture",
    "LogRatio",
    "Logp",
    "Method",
    "Mixed",
    "Need",
    "Nll",
    "Normaliser",
    "PolicyGradient",
    "Recipe",
    "Refined",
    "Reward",
    "Role",
    "RolloutLogp",
    "Sampling",
    "Scores",
    "Shaped",
    "Student",
    "TeacherPrefix",
    "TeacherSamples",
    "Term",
    "TokenFunction",
    "TokenLoss",
    "Trajectory",
]
