"""What a method trains on: who writes the tokens, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Author = Literal["current", "initial"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; ``max_tokens`` None means the board's limit, ``top_k`` 0 means off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = None

    @property
    def is_exact(self) -> bool:
        """Whether tokens come from the model's own distribution, which a policy gradient needs."""
        return self.temperature == 1.0 and self.top_p == 1.0 and self.top_k == 0


@dataclass(frozen=True, slots=True)
class Student:
    """One rollout per prompt, by the current student or the frozen one that training started from."""

    sampling: Sampling = Sampling()
    author: Author = "current"


@dataclass(frozen=True, slots=True)
class Group:
    """``size`` rollouts per prompt, the last ``num_offline`` of them teacher samples (arXiv 2504.14945)."""

    size: int
    num_offline: int = 0
    sampling: Sampling = Sampling()
    teacher_sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class TeacherPrefix:
    """A teacher response is cut to a prefix and the student goes on (arXiv 2606.01249).

    The longest prefix is ``fraction`` of the response limit; its length is drawn uniformly from 0 up to it, or is
    as long as possible. A teacher response that ends inside its prefix is not continued. ``sampling`` is the
    student's, ``teacher_sampling`` the teacher's.
    """

    fraction: float
    length: Literal["uniform", "max"] = "uniform"
    sampling: Sampling = Sampling()
    teacher_sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Refined:
    """The teacher rewrites a draft (arXiv 2606.08432): ``template`` shows it the draft, ``keep`` filters by outcome.

    ``fail`` and ``succ`` grade the draft, ``fail_and_succ`` keeps wrong drafts with a right refinement; what is
    dropped is paid for all the same. ``sampling`` is the teacher's.
    """

    template: str = "refine"
    keep: Literal["all", "fail", "succ", "fail_and_succ"] = "all"
    draft: Student = Student(author="initial")
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class TeacherSamples:
    """One teacher completion per prompt, drawn once and reused in later epochs."""

    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data's own reference solutions."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """``first`` with the given probability, else ``second``; drawn per batch (arXiv 2306.13649)."""

    probability: float
    first: Student | TeacherSamples | Dataset
    second: Student | TeacherSamples | Dataset


Trajectory = Student | Group | TeacherPrefix | Refined | TeacherSamples | Dataset | Mixed
