"""Which scores a method asks for. Each is computed, charged, and then the same until the next rollout batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["student", "teacher", "reference"]


@dataclass(frozen=True, slots=True)
class Logp:
    """Log-probabilities under a role, of the sampled tokens or of the teacher's most likely ones."""

    role: Role
    at: Literal["sampled", "teacher_argmax"] = "sampled"


@dataclass(frozen=True, slots=True)
class Entropy:
    """Full-vocabulary entropies of a role, in nats."""

    role: Role


@dataclass(frozen=True, slots=True)
class Argmax:
    """The most likely token id under a role."""

    role: Role


@dataclass(frozen=True, slots=True)
class Reward:
    """The grader's outcome of each response, 1.0 or 0.0."""


@dataclass(frozen=True, slots=True)
class RolloutLogp:
    """The engine's own log-probabilities of what it sampled, for off-engine correction."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A role's whole distribution at every position: what a ``Divergence`` to that role is computed from."""

    role: Role


Need = Logp | Entropy | Argmax | Distribution | Reward | RolloutLogp
