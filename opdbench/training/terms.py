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

from opdbench.method import Divergence, PolicyGradient, Role, Term, TokenLoss
from opdbench.training.divergences import divergence

RoleLogits = Callable[[Role, Tensor], Tensor]
"""(role, rows ``[n]``) -> that role's logits ``[n, V]`` over the student's ids."""

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to this before exponentiation, as everywhere in the field (verl core_algos)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The packed response tokens of a rollout batch.

    Attributes:
        tokens_N: Sampled token ids.
        sequence_N: Which sequence each token belongs to.
        old_logp_N: The student's log-probabilities before the update.
        rollout_logp_N: The engine's log-probabilities, NaN for tokens that it did not sample.
    """

    tokens_N: Tensor
    sequence_N: Tensor
    old_logp_N: Tensor
    rollout_logp_N: Tensor


@dataclass(frozen=True, slots=True)
class Weighted:
    """A term with the final weight of each token, normaliser included, for one optimizer step."""

    term: Term
    weight_N: Tensor


def weigh(term: Term, layout: Layout, member_N: Tensor) -> Weighted:
    """Fix a term's token weights for the optimizer step over the tokens marked in ``member_N`` (bool).

    Denominators count all tokens or sequences of the step, over all its micro-batches.
    """
    dtype = layout.old_logp_N.dtype
    kept_N = member_N if term.where is None else member_N & term.where
    length_B = torch.bincount(layout.sequence_N[member_N]).to(dtype)
    num_sequences = int((length_B > 0).sum())
    if term.normaliser == "token_mean":
        weight_N = kept_N.to(dtype) / max(int(member_N.sum()), 1)
    elif term.normaliser == "kept_mean":
        weight_N = kept_N.to(dtype) / max(int(kept_N.sum()), 1)
    elif term.normaliser == "seq_mean":
        padded_B = torch.nn.functional.pad(length_B, (0, int(layout.sequence_N.max()) + 1 - len(length_B)))
        weight_N = kept_N.to(dtype) / (padded_B.clamp(min=1)[layout.sequence_N] * max(num_sequences, 1))
    else:
        weight_N = kept_N.to(dtype) / (term.normaliser * max(num_sequences, 1))
    return Weighted(term, torch.where(kept_N, weight_N * term.weight, 0.0))


@dataclass(slots=True)
class Walk:
    """What a walk found: one value per term and the gradient of their sum with respect to the hidden states.

    ``mismatch`` is the largest |trainer - engine| log-probability of a token that the engine sampled.
    """

    values: list[float]
    grad_hidden_nH: Tensor
    mismatch: float = 0.0


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
    """
    values, mismatch = [0.0] * len(terms), 0.0
    grad_hidden_nH = torch.empty_like(hidden_nH)
    for start in range(0, len(rows_n), chunk_size):
        part = slice(start, start + chunk_size)
        hidden = hidden_nH[part]
        chunk = _Chunk(hidden @ head_VH.T, rows_n[part], layout, role_logits, first_step)
        for i, term in enumerate(terms):
            values[i] += chunk.add(term)
        mismatch = max(mismatch, chunk.mismatch() if first_step else 0.0)
        grad_logits = chunk.gradient()
        grad_hidden_nH[part] = grad_logits @ head_VH
        if grad_head_VH is not None:
            grad_head_VH.addmm_(grad_logits.T, hidden)
    return Walk(values, grad_hidden_nH, mismatch)


class _Chunk:
    """The logits of one chunk and the gradient that terms add up on them."""

    def __init__(
        self, logits_nV: Tensor, rows_n: Tensor, layout: Layout, role_logits: RoleLogits, first_step: bool
    ) -> None:
        self.logits_nV = logits_nV if logits_nV.dtype == torch.float64 else logits_nV.float()
        self.logp_nV = self.logits_nV.log_softmax(-1)
        self.rows_n, self.layout = rows_n, layout
        self.role_logits, self.first_step = role_logits, first_step
        self.grad_nV = torch.zeros_like(self.logp_nV)
        self.pull_n = self.logp_nV.new_zeros(len(rows_n))

    def add(self, weighted: Weighted) -> float:
        """Add one term's gradient and return its value."""
        weight_n = weighted.weight_N[self.rows_n].to(self.logp_nV.dtype)
        term = weighted.term
        if isinstance(term, Divergence):
            return self._add_divergence(term, weight_n)
        target_N = self.layout.tokens_N if isinstance(term, PolicyGradient) else term.target
        target_n = (self.layout.tokens_N if target_N is None else target_N)[self.rows_n]
        x_n = self.logp_nV.gather(-1, target_n[:, None])[:, 0]
        value_n, slope_n = (
            self._policy_gradient(term, x_n) if isinstance(term, PolicyGradient) else self._token_loss(term, x_n)
        )
        pull_n = _masked(weight_n, slope_n)
        self.grad_nV.scatter_add_(-1, target_n[:, None], pull_n[:, None])
        self.pull_n += pull_n
        return _masked(weight_n, value_n).double().sum().item()

    def mismatch(self) -> float:
        """Return the largest difference to the engine's log-probabilities; those it did not sample are NaN."""
        x_n = self.logp_nV.gather(-1, self.layout.tokens_N[self.rows_n][:, None])[:, 0]
        return float((x_n - self.layout.rollout_logp_N[self.rows_n]).abs().nan_to_num(0.0).max())

    def gradient(self) -> Tensor:
        """Return the gradient ``[n, V]`` with respect to the logits: token terms pull as ``e_y - S``."""
        return self.grad_nV.sub_(self.logp_nV.exp() * self.pull_n[:, None])

    def _add_divergence(self, term: Divergence, weight_n: Tensor) -> float:
        active = weight_n.nonzero()[:, 0]
        if len(active) == 0:
            return 0.0
        teacher_nV = self.role_logits(term.role, self.rows_n[active]).to(self.logits_nV.dtype)
        value_n, grad_nV = divergence(term, self.logits_nV[active], teacher_nV)
        self.grad_nV.index_add_(0, active, grad_nV * weight_n[active, None])
        return (weight_n[active] * value_n).double().sum().item()

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
