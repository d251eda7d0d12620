"""The contract of a method: the published algorithm, in frozen dataclasses and without a loop.

A method says which trajectories it trains on, which scores of them it needs, and which terms it minimises. It never
sees a model, an optimizer or an engine, and imports no torch: tensors' own methods and the helpers of ``Scores``
suffice. ``training`` only evaluates what is said here; ``docs/contracts.md`` shows every known method in it.

Shapes: ``N`` response tokens of a rollout batch, packed; ``B`` sequences. Scores, advantages, masks and draws are
computed once per rollout batch and are constants to the gradient; denominators are computed per optimizer step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["student", "teacher", "reference"]
Author = Literal["current", "initial"]
Normaliser = Literal["token_mean", "kept_mean", "seq_mean"]

# ---------------------------------------------------------------------------------------------- trajectories


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
    """``size`` rollouts per prompt, the last ``num_offline`` of them teacher samples (GRPO, LUFFY)."""

    size: int
    num_offline: int = 0
    sampling: Sampling = Sampling()
    teacher_sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class TeacherPrefix:
    """A teacher response is cut to a prefix and the student goes on (TrOPD).

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
    """The teacher rewrites a draft (TRD): ``template`` shows it the draft, ``keep`` filters by outcome.

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
    """``first`` with the given probability, else ``second``; drawn per batch (GKD)."""

    probability: float
    first: Student | TeacherSamples | Dataset
    second: Student | TeacherSamples | Dataset


Trajectory = Student | Group | TeacherPrefix | Refined | TeacherSamples | Dataset | Mixed

# --------------------------------------------------------------------------------------------------- needs


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


class Scores(Protocol):
    """What the loop hands to ``terms``: detached values per token ``[N]`` or per sequence ``[B]``.

    Asking for something that ``needs`` did not name is an error. ``student`` means the student before the update.
    """

    def logp(self, role: Role, at: Literal["sampled", "teacher_argmax"] = "sampled") -> Tensor:
        """Return log-probabilities ``[N]``; the student's at the sampled tokens are always there."""
        ...

    def entropy(self, role: Role) -> Tensor:
        """Return entropies ``[N]`` in nats."""
        ...

    def argmax(self, role: Role) -> Tensor:
        """Return the most likely token ids ``[N]``."""
        ...

    @property
    def rollout_logp(self) -> Tensor:
        """The engine's log-probabilities ``[N]`` of the sampled tokens."""
        ...

    @property
    def reward(self) -> Tensor:
        """Outcome rewards ``[B]``."""
        ...

    @property
    def from_teacher(self) -> Tensor:
        """Whether a token was written by the teacher (prefix, offline sample, refinement), bool ``[N]``."""
        ...

    @property
    def offline(self) -> Tensor:
        """Whether a whole sequence is off-policy, bool ``[B]``."""
        ...

    @property
    def has_teacher(self) -> Tensor:
        """Whether the teacher is the one meant for the sequence's domain, bool ``[B]``.

        True everywhere on a board with one teacher; false where teachers are named by domain and the sequence's
        domain has none, so that the default teacher scores it.
        """
        ...

    @property
    def max_tokens(self) -> int:
        """The longest response in training, a constant to normalise with (Dr. GRPO, LUFFY)."""
        ...

    def spread(self, values: Tensor) -> Tensor:
        """Repeat per-sequence values ``[B]`` over each sequence's tokens, ``[N]``."""
        ...

    def discounted(self, values: Tensor, gamma: float) -> Tensor:
        """Return ``sum_j gamma^j values[t + j]`` inside each sequence, ``[N]``."""
        ...

    def quantile(self, values: Tensor, q: float) -> Tensor:
        """Return the q-quantile (linear) of ``[N]`` values over the whole rollout batch, all ranks."""
        ...

    def top_fraction(self, values: Tensor, fraction: float) -> Tensor:
        """Mark the ``max(1, int(fraction N))`` largest of ``[N]`` values over the rollout batch, bool ``[N]``."""
        ...

    def group_advantage(
        self, *, std: Literal["sample", "population"] | None = "sample", baseline: Tensor | None = None
    ) -> Tensor:
        """Return rewards minus their group mean, over the group's standard deviation + 1e-6, ``[B]``.

        ``baseline`` (bool ``[B]``) restricts mean and deviation to some sequences; where fewer than two of a group
        remain, the mean is 0 and the deviation 1 (methods.md 5.2, 5.5).
        """
        ...

    def uniform(self) -> Tensor:
        """Return uniforms in [0, 1), ``[N]``, a function of (seed, step, sample, position) alone."""
        ...


# --------------------------------------------------------------------------------------------------- terms


class TokenFunction(Protocol):
    """A loss of the current log-probability ``x`` of one token and a detached value ``c``, both ``[N]``."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return the loss per token."""
        ...

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return d loss / d x."""
        ...


@dataclass(frozen=True, slots=True)
class Nll:
    """``-log S``: maximum likelihood."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``-x``."""
        return -x

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return -1."""
        return x.new_full(x.shape, -1.0)


@dataclass(frozen=True, slots=True)
class LogRatio:
    """``log T - log S`` with T constant: the gradient of ``Nll``, a value that falls to 0 when S meets T."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``c - x``."""
        return c - x

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return -1."""
        return x.new_full(x.shape, -1.0)


@dataclass(frozen=True, slots=True)
class K2:
    """``(log S - log T)^2 / 2``: the gradient of the k1 policy gradient (methods.md 1)."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return half the squared log-ratio."""
        return (x - c).square() / 2

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``x - c``."""
        return x - c


@dataclass(frozen=True, slots=True)
class K3:
    """``e^d - 1 - d`` with ``d = log T - log S``: its expected gradient is the forward KL's (methods.md 1)."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``e^(c - x) - 1 - (c - x)``."""
        return (c - x).exp() - 1 - (c - x)

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``1 - e^(c - x)``."""
        return 1 - (c - x).exp()


@dataclass(frozen=True, slots=True)
class Shaped:
    """``p / (p + constant)`` of the token's own probability p: LUFFY's policy shaping."""

    constant: float

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``p / (p + constant)``."""
        p = x.exp()
        return p / (p + self.constant)

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``p constant / (p + constant)^2``."""
        p = x.exp()
        return p * self.constant / (p + self.constant).square()


@dataclass(frozen=True, slots=True)
class LogMixture:
    """``log S - log M`` with ``M = beta T + (1 - beta) S``: the path through the mixture of a sampled JSD."""

    beta: float

    def _mixture(self, x: Tensor, c: Tensor) -> Tensor:
        return self.beta * c.exp() + (1 - self.beta) * x.exp()

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``x - log M``."""
        return x - self._mixture(x, c).log()

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``1 - (1 - beta) S / M``."""
        return 1 - (1 - self.beta) * x.exp() / self._mixture(x, c)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Term:
    """What all terms share: a weight (number or ``[N]``), a region (bool ``[N]``) and a normaliser.

    Outside the region a token adds nothing, whatever its values. ``token_mean`` divides by all response tokens of
    the optimizer step, ``kept_mean`` by those in the region (0 if there are none), ``seq_mean`` divides a token by
    all tokens of its sequence and by the number of sequences, a number L by ``L`` times the number of sequences.
    The weight is never part of a denominator.
    """

    weight: float | Tensor = 1.0
    where: Tensor | None = None
    normaliser: Normaliser | float = "token_mean"
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyGradient(_Term):
    """``-advantage * ratio``, the gradient flowing through the ratio only (methods.md 0).

    The ratio is exactly 1 in the first optimizer step on a rollout batch. ``clip`` is (low, high) of PPO,
    ``dual_clip`` its cap for negative advantages; ``rollout_correction`` caps the truncated importance weight
    between trainer and engine, multiplied in after the clip.
    """

    advantage: Tensor
    clip: tuple[float, float] | None = None
    dual_clip: float | None = None
    rollout_correction: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TokenLoss(_Term):
    """A differentiable function of one token's log-probability.

    ``target`` (ids ``[N]``) is the token; None means the sampled one. ``constant`` (``[N]``) is its detached
    companion, usually the teacher's log-probability.
    """

    fn: TokenFunction
    target: Tensor | None = None
    constant: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Divergence(_Term):
    """A divergence between the student and another role at each position, differentiated through the student.

    Attributes:
        kind: ``forward_kl`` KL(T||S), ``reverse_kl`` KL(S||T), ``jsd`` generalised with ``beta``, or
            ``mixture_kl``, ``beta KL(T||M)`` alone with ``M = beta T + (1 - beta) S``.
        role: Whose distribution is T.
        beta: Weight of T in the mixture M.
        top_k: Sum over the k tokens that T finds most likely; None means the full vocabulary.
        renorm: Which sides are renormalised over the top k.
        cap: ``("position", c)`` caps the summed divergence, ``("entry", c)`` each summand; capped parts have no
            gradient.
        floor: Clamp the summed divergence from below (a raw top-k sum can be negative).
        temperature: Divides the logits of both sides.
    """

    kind: Literal["forward_kl", "reverse_kl", "jsd", "mixture_kl"]
    role: Role = "teacher"
    beta: float = 0.5
    top_k: int | None = None
    renorm: Literal["none", "teacher", "both"] = "none"
    cap: tuple[Literal["position", "entry"], float] | None = None
    floor: float | None = None
    temperature: float = 1.0


Term = PolicyGradient | TokenLoss | Divergence

# -------------------------------------------------------------------------------------------------- method


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
