"""What is minimised: a sum of terms, each a sum over tokens of a function of the current student there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from opdbench.method.functions import TokenFunction
from opdbench.method.needs import Role

if TYPE_CHECKING:
    from torch import Tensor

Normaliser = Literal["token_mean", "kept_mean", "seq_mean"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Term:
    """What all terms share: a weight (number or ``[N]``), a region (bool ``[N]``) and a normaliser.

    Outside the region a token adds nothing, whatever its values. ``token_mean`` divides by all response tokens of
    the optimizer step, ``kept_mean`` by those in the region (0 if there are none), ``seq_mean`` divides a token by
    all tokens of its sequence and by the number of sequences, a number L by ``L`` times the number of sequences.
    The weight is never part of a denominator. ``marks`` (bool ``[N]`` by name) changes nothing: the share of tokens
    that each marks is logged, as is the region's under the label.
    """

    weight: float | Tensor = 1.0
    where: Tensor | None = None
    normaliser: Normaliser | float = "token_mean"
    label: str = ""
    marks: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])


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
