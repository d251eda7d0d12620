"""One walk over chunks of positions: the value of all terms and their gradient, in closed form.

No tensor of shape [N, V] exists: hidden states of the response positions come in, logits live for one chunk, and the
gradients with respect to hidden states and head weight go out. Autograd is the oracle of the tests, not the engine.

Shapes: ``N`` response tokens of the rollout batch, ``n`` of them in a chunk, ``H`` hidden size, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opdbench.method import Divergence, PolicyGradient, Role, TokenLoss
from opdbench.training.divergences import divergence
from opdbench.training.observed import Observed, entropy
from opdbench.training.weights import Layout, Weighted

RoleLogits = Callable[[Role, Tensor], Tensor]
"""(role, rows ``[n]``) -> that role's logits ``[n, V]`` over the student's ids."""

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to this before exponentiation, as everywhere in the field (verl core_algos)."""


@dataclass(slots=True)
class Walk:
    """What a walk found: one value per term and the gradient of their sum with respect to the hidden states."""

    values: list[float]
    grad_hidden_nH: Tensor


def walk(
    hidden_nH: Tensor,
    head_VH: Tensor,
    rows_n: Tensor,
    layout: Layout,
    terms: Sequence[Weighted],
    *,
    role_logits: RoleLogits,
    first_step: bool,
    chunk_size: int = 512,
    grad_head_VH: Tensor | None = None,
    observed: Observed | None = None,
) -> Walk:
    """Evaluate all terms on some of the batch's tokens.

    Args:
        hidden_nH: Detached hidden states that predict the tokens ``rows_n`` of the layout.
        head_VH: The student's output head, cut to the shared vocabulary.
        rows_n: Indices into the layout.
        layout: The rollout batch.
        terms: Terms with their token weights.
        role_logits: Gives other roles' logits, for divergences.
        first_step: Whether this is the first optimizer step on the batch; its ratio is exactly 1.
        chunk_size: Positions whose logits exist at one time; changes memory and nothing else.
        grad_head_VH: Where the head's gradient is added; None when the head is frozen.
        observed: Where values per token are kept for the log; they change nothing.
    """
    values = [0.0] * len(terms)
    grad_hidden_nH = torch.empty_like(hidden_nH)
    for start in range(0, len(rows_n), chunk_size):
        part = slice(start, start + chunk_size)
        hidden = hidden_nH[part]
        chunk = _Chunk(hidden @ head_VH.T, rows_n[part], layout, role_logits, first_step, observed)
        for i, term in enumerate(terms):
            values[i] += chunk.add(i, term)
        grad_logits = chunk.gradient()
        grad_hidden_nH[part] = grad_logits @ head_VH
        if grad_head_VH is not None:
            grad_head_VH.addmm_(grad_logits.T, hidden)
    return Walk(values, grad_hidden_nH)


class _Chunk:
    """The logits of one chunk and the gradient that terms add up on them."""

    def __init__(
        self,
        logits_nV: Tensor,
        rows_n: Tensor,
        layout: Layout,
        role_logits: RoleLogits,
        first_step: bool,
        observed: Observed | None,
    ) -> None:
        self.logits_nV = logits_nV if logits_nV.dtype == torch.float64 else logits_nV.float()
        self.logp_nV = self.logits_nV.log_softmax(-1)
        self.rows_n, self.layout = rows_n, layout
        self.role_logits, self.first_step, self.observed = role_logits, first_step, observed
        self.grad_nV = torch.zeros_like(self.logp_nV)
        self.pull_n = self.logp_nV.new_zeros(len(rows_n))

    def add(self, number: int, weighted: Weighted) -> float:
        """Add the gradient of the term with this number and return its value."""
        weight_n = weighted.weight_N[self.rows_n].to(self.logp_nV.dtype)
        term = weighted.term
        if isinstance(term, Divergence):
            return self._add_divergence(number, term, weight_n)
        target_N = self.layout.tokens_N if isinstance(term, PolicyGradient) else term.target
        target_n = (self.layout.tokens_N if target_N is None else target_N)[self.rows_n]
        x_n = self.logp_nV.gather(-1, target_n[:, None])[:, 0]
        value_n, slope_n = (
            self._policy_gradient(term, x_n) if isinstance(term, PolicyGradient) else self._token_loss(term, x_n)
        )
        if isinstance(term, PolicyGradient):
            self._observe_clip(number, term, weight_n, slope_n)
        pull_n = _masked(weight_n, slope_n)
        self.grad_nV.scatter_add_(-1, target_n[:, None], pull_n[:, None])
        self.pull_n += pull_n
        return _masked(weight_n, value_n).double().sum().item()

    def gradient(self) -> Tensor:
        """Return the gradient ``[n, V]`` with respect to the logits: token terms pull as ``e_y - S``."""
        p_nV = self.logp_nV.exp()
        self._observe_student(p_nV)
        return self.grad_nV.sub_(p_nV.mul_(self.pull_n[:, None]))

    def _observe_student(self, p_nV: Tensor) -> None:
        """Keep entropies and the differences to the engine's log-probabilities of what it sampled."""
        if self.observed is None or not self.first_step:
            return
        x_n = self.logp_nV.gather(-1, self.layout.tokens_N[self.rows_n][:, None])[:, 0]
        self.observed.put("mismatch", self.rows_n, (x_n - self.layout.rollout_logp_N[self.rows_n]).abs())
        self.observed.put("entropy/student", self.rows_n, entropy(p_nV, self.logp_nV))

    def _add_divergence(self, number: int, term: Divergence, weight_n: Tensor) -> float:
        active = weight_n.nonzero()[:, 0]
        if len(active) == 0:
            return 0.0
        teacher_nV = self.role_logits(term.role, self.rows_n[active]).to(self.logits_nV.dtype)
        look = self.observed and self.observed.divergence(
            term, number, self.rows_n[active], self.layout.tokens_N, first_step=self.first_step
        )
        value_n, grad_nV = divergence(term, self.logits_nV[active], teacher_nV, look)
        self.grad_nV.index_add_(0, active, grad_nV * weight_n[active, None])
        return (weight_n[active] * value_n).double().sum().item()

    def _observe_clip(self, number: int, term: PolicyGradient, weight_n: Tensor, slope_n: Tensor) -> None:
        """Keep which tokens PPO's clip or the dual clip left without a gradient: a ratio itself is never 0."""
        if self.observed is None or self.first_step or (term.clip is None and term.dual_clip is None):
            return
        clipped_n = (slope_n == 0) & (term.advantage[self.rows_n] != 0) & (weight_n != 0)
        self.observed.put(f"clipped/{term.label or number}", self.rows_n, clipped_n)

    def _token_loss(self, term: TokenLoss, x_n: Tensor) -> tuple[Tensor, Tensor]:
        constant_n = x_n if term.constant is None else term.constant[self.rows_n].to(x_n.dtype)
        return term.fn.value(x_n, constant_n), term.fn.slope(x_n, constant_n)

    def _policy_gradient(self, term: PolicyGradient, x_n: Tensor) -> tuple[Tensor, Tensor]:
        old_n = x_n if self.first_step else self.layout.old_logp_N[self.rows_n].to(x_n.dtype)
        advantage_n = term.advantage[self.rows_n].to(x_n.dtype)
        value_n, slope_n = clipped_ratio(term, x_n - old_n, advantage_n)
        if term.rollout_correction is None:
            return value_n, slope_n
        engine_n = self.layout.rollout_logp_N[self.rows_n].to(x_n.dtype)
        correction_n = (self.layout.old_logp_N[self.rows_n].to(x_n.dtype) - engine_n).clamp(
            -MAX_LOG_RATIO, MAX_LOG_RATIO
        )
        correction_n = correction_n.exp().clamp(max=term.rollout_correction)
        return value_n * correction_n, slope_n * correction_n


def clipped_ratio(term: PolicyGradient, log_ratio_n: Tensor, advantage_n: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``-A rho`` under PPO's clip and dual clip, and its slope in the current log-probability (methods.md 0)."""
    ratio_n = log_ratio_n.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    value_n = -advantage_n * ratio_n
    slope_n = value_n
    if term.clip is not None:
        clipped_n = -advantage_n * ratio_n.clamp(1 - term.clip[0], 1 + term.clip[1])
        slope_n = slope_n * (clipped_n <= value_n)
        value_n = torch.maximum(value_n, clipped_n)
    if term.dual_clip is not None:
        cap_n = -advantage_n * term.dual_clip
        hit_n = (advantage_n < 0) & (value_n > cap_n)
        slope_n = slope_n * ~hit_n
        value_n = torch.where(hit_n, cap_n, value_n)
    return value_n, slope_n


def _masked(weight_n: Tensor, value_n: Tensor) -> Tensor:
    """Multiply, so that what a region leaves out is exactly 0 even where the value is not finite."""
    return torch.where(weight_n == 0, 0.0, weight_n * value_n)
