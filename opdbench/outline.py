"""What a method will ask for, found without a model: its terms are called once with placeholders.

``plan`` refuses here what would otherwise fail after the first rollout batch was paid for. A placeholder takes every
operation that a tensor takes and has no values, so a method whose terms branch on values is refused too: what is
fetched, and what it costs, must not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

from opdbench.errors import ConfigError
from opdbench.method import (
    Argmax,
    Dataset,
    Distribution,
    Divergence,
    Entropy,
    Group,
    Logp,
    Method,
    Mixed,
    Need,
    PolicyGradient,
    Refined,
    Reward,
    Role,
    RolloutLogp,
    Scores,
    Student,
    TeacherPrefix,
    Term,
    Trajectory,
)
from opdbench.task import Task

PROGRESS = tuple(step / 64 for step in range(65))
"""Where schedules are looked at; a method that changes its mind for less than 1/64 of a budget is not seen."""


class Placeholder:
    """Stands for a tensor: every method, attribute and operator gives another placeholder."""

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Placeholder:
        """Answer a tensor's own method."""
        return self

    @classmethod
    def __torch_function__(cls, *args: Any, **kwargs: Any) -> Placeholder:
        """Answer torch's own functions as well."""
        return cls()

    def _same(self, *others: Any) -> Placeholder:
        return self

    def _no_value(self, *others: Any) -> Any:
        raise ConfigError("terms() depends on the values of a tensor; use where= or weight= instead")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __pow__ = __rpow__ = __neg__ = __abs__ = __invert__ = __getitem__ = _same
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _same
    __lt__ = __le__ = __gt__ = __ge__ = _same
    __eq__ = __ne__ = _same  # type: ignore[assignment]
    __hash__ = object.__hash__
    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = _no_value


class PlaceholderScores:
    """Scores without values; asking for what ``needs`` did not name is an error."""

    max_tokens = 1

    def __init__(self, needs: Sequence[Need]) -> None:
        self._needs = frozenset(needs)

    def _give(self, need: Need | None = None) -> Any:
        if need is not None and need not in self._needs:
            raise ConfigError(f"terms() asks for {need}, which needs() does not name")
        return Placeholder()

    def logp(self, role: Role, at: Literal["sampled", "teacher_argmax"] = "sampled") -> Any:
        """Return a placeholder."""
        return self._give(None if (role, at) == ("student", "sampled") else Logp(role, at))

    def entropy(self, role: Role) -> Any:
        """Return a placeholder."""
        return self._give(Entropy(role))

    def argmax(self, role: Role) -> Any:
        """Return a placeholder."""
        return self._give(Argmax(role))

    @property
    def rollout_logp(self) -> Any:
        """A placeholder."""
        return self._give(RolloutLogp())

    @property
    def reward(self) -> Any:
        """A placeholder."""
        return self._give(Reward())

    def group_advantage(self, **settings: Any) -> Any:
        """Return a placeholder."""
        return self._give(Reward())

    def __getattr__(self, name: str) -> Any:
        """Return a placeholder for the parts of ``Scores`` that need nothing."""
        return self._give()


def outline(method: Method, progress: float) -> tuple[Term, ...]:
    """Return a method's terms at some progress, with placeholders for tensors.

    Raises:
        ConfigError: ``terms`` asks for a score that ``needs`` does not name, or depends on values.
    """
    scores = cast("Scores", PlaceholderScores(method.needs(progress)))
    return tuple(method.terms(scores, progress))


def teacher_writes(trajectory: Trajectory) -> bool:
    """Whether the teacher generates tokens of a trajectory, apart from scoring them."""
    if isinstance(trajectory, Mixed):
        return teacher_writes(trajectory.first) or teacher_writes(trajectory.second)
    if isinstance(trajectory, Group):
        return trajectory.num_offline > 0
    return not isinstance(trajectory, Student | Dataset)


def check_method(method: Method, *, num_vocabulary: int | None = None, tasks: Iterable[Task] = ()) -> frozenset[Role]:
    """Check a method over its whole schedule and return the roles other than the student that it ever uses.

    Raises:
        ConfigError: what it says cannot be computed, or would bias the gradient; the message says where.
    """
    roles: set[Role] = set()
    tasks, last_fraction = tuple(tasks), 1.0
    for progress in PROGRESS:
        trajectory = method.trajectory(progress)
        try:
            _check_trajectory(trajectory)
            if isinstance(trajectory, TeacherPrefix):
                last_fraction = _check_prefix(trajectory, last_fraction)
            if Distribution("student") in method.needs(progress):
                raise ConfigError("a divergence of the student from itself is not defined")
            for term in outline(method, progress):
                _check_term(term, trajectory, method.needs(progress), num_vocabulary)
            for task in tasks:
                _check_templates(method, trajectory, task)
        except ConfigError as error:
            raise ConfigError(f"{type(method).__name__} at progress {progress:g}: {error}") from error
        roles |= method.roles(progress)
        if teacher_writes(trajectory):
            roles.add("teacher")
    return frozenset(roles)


def _check_trajectory(trajectory: Trajectory) -> None:
    if isinstance(trajectory, Group) and not 0 <= trajectory.num_offline < trajectory.size:
        raise ConfigError(f"{trajectory}: a group needs at least one rollout of the student")
    if isinstance(trajectory, TeacherPrefix) and not 0 <= trajectory.fraction <= 1:
        raise ConfigError(f"{trajectory}: the fraction of a prefix is between 0 and 1")
    if isinstance(trajectory, Mixed) and not 0 <= trajectory.probability <= 1:
        raise ConfigError(f"{trajectory}: a probability is between 0 and 1")


def _check_prefix(trajectory: TeacherPrefix, last_fraction: float) -> float:
    """Refuse prefixes that grow: a later pass uses the texts of an earlier one, and must find them long enough."""
    if trajectory.fraction > last_fraction:
        raise ConfigError(f"{trajectory}: the fraction of a prefix must not grow, it was {last_fraction:g} before")
    return trajectory.fraction


def _check_term(term: Term, trajectory: Trajectory, needs: Sequence[Need], num_vocabulary: int | None) -> None:
    if isinstance(term.normaliser, int | float) and not term.normaliser > 0:
        raise ConfigError(f"normaliser {term.normaliser} is not positive")
    if isinstance(term, PolicyGradient):
        _check_policy_gradient(term, trajectory, needs)
    if isinstance(term, Divergence):
        if Distribution(term.role) not in needs:
            raise ConfigError(f"a divergence from the {term.role} needs {Distribution(term.role)} in needs()")
        if term.top_k is not None and term.top_k < 1:
            raise ConfigError(f"top_k = {term.top_k} is less than 1")
        if term.top_k is not None and num_vocabulary is not None and term.top_k > num_vocabulary:
            raise ConfigError(f"top_k = {term.top_k} exceeds the vocabulary of {num_vocabulary} tokens")
        if term.kind in {"jsd", "mixture_kl"} and not 0 < term.beta < 1:
            raise ConfigError(f"{term.kind} needs beta between 0 and 1, not {term.beta}; its ends are the plain KLs")
        if not term.temperature > 0:
            raise ConfigError(f"temperature {term.temperature} is not positive")


def _check_policy_gradient(term: PolicyGradient, trajectory: Trajectory, needs: Sequence[Need]) -> None:
    """Refuse a policy gradient on tokens that are not draws of the current student."""
    if term.rollout_correction is not None and RolloutLogp() not in needs:
        raise ConfigError(f"rollout_correction needs {RolloutLogp()} in needs()")
    if isinstance(trajectory, Mixed):
        _check_policy_gradient(term, trajectory.first, needs)
        _check_policy_gradient(term, trajectory.second, needs)
        return
    if not isinstance(trajectory, Student | Group | TeacherPrefix):
        raise ConfigError(f"a policy gradient on {type(trajectory).__name__} would train on tokens of another policy")
    if isinstance(trajectory, Student) and trajectory.author == "initial":
        raise ConfigError("a policy gradient on rollouts of the initial student is not on-policy")
    if not trajectory.sampling.is_exact:
        # No correction helps: engines tell the log-probability at temperature 1, whatever they sampled with.
        raise ConfigError(
            f"a policy gradient on tokens drawn with {trajectory.sampling} is biased; sample at temperature 1, "
            "top-p 1, top-k off"
        )
    if teacher_writes(trajectory) and term.where is None:
        raise ConfigError("a policy gradient on a batch that holds the teacher's tokens needs where=")


def _check_templates(method: Method, trajectory: Trajectory, task: Task) -> None:
    """Refuse templates that a task lacks or that show a draft where there is none."""
    wanted = {f"{role} template": name for role, name in method.templates.items()}
    refined = isinstance(trajectory, Refined)
    if isinstance(trajectory, Refined):
        wanted["refinement template"] = trajectory.template
    for what, name in wanted.items():
        if name not in task.templates:
            raise ConfigError(f"{what} {name!r} is not one of {task.id}'s: {', '.join(task.templates)}")
        if "{draft}" in task.templates[name] and not refined:
            raise ConfigError(f"{what} {name!r} of {task.id} shows a draft, which only Refined trajectories have")
