"""The class that a method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from opdbench.method.needs import Argmax, Distribution, Entropy, Logp, Need, Role
from opdbench.method.scores import Scores
from opdbench.method.terms import Term
from opdbench.method.trajectories import Trajectory


@dataclass(frozen=True, slots=True)
class Recipe:
    """The setting a paper published, as data that boards cite; never used as a default."""

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Method(BaseModel, ABC):
    """A published algorithm. Class defaults are the published method constants; a board that sets none runs it.

    Learning rate, batch size, optimizer steps per rollout batch and adapters belong to the board. The class
    docstring carries three lines, ``Paper``, ``Upstream`` and ``Deviates``, from which the table of methods is made.
    ``progress`` is spend over limit, in [0, 1], at the start of the rollout batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    published: ClassVar[Recipe]

    @abstractmethod
    def trajectory(self, progress: float) -> Trajectory:
        """Say what is trained on."""

    def needs(self, progress: float) -> Sequence[Need]:
        """Name the scores that ``terms`` will ask for; each is computed and charged, nothing else is there."""
        return ()

    @abstractmethod
    def terms(self, scores: Scores, progress: float) -> Sequence[Term]:
        """Say what is minimised: the sum of the terms. Called once per rollout batch; never branches on values."""

    @property
    def templates(self) -> Mapping[Role, str]:
        """Name the task's template that a role sees while it scores; ``plain`` for roles not named.

        Rollouts always start from ``plain``; a template with ``{draft}`` needs a ``Refined`` trajectory.
        """
        return {}

    def roles(self, progress: float) -> frozenset[Role]:
        """Return the roles other than the student that a batch is scored with."""
        roles: set[Role] = set()
        for need in self.needs(progress):
            if isinstance(need, Logp | Entropy | Argmax | Distribution):
                roles.add(need.role)
            if isinstance(need, Logp) and need.at == "teacher_argmax":
                roles.add("teacher")
        return frozenset(roles - {"student"})
