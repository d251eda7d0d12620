"""Divergences between two distributions with their gradient in closed form (methods.md 1).

Every divergence is a sum over entries ``f(s_v, t_v)`` of log-probabilities. With ``g_v = df / ds_v`` and the student's
softmax ``S`` over the ids that it is normalised on, the gradient with respect to a logit is ``g_v - S_v sum_u g_u``.
Shapes: ``n`` positions, ``V`` vocabulary, ``K`` ids of the support.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from opdbench.method import Divergence

Entries = tuple["Tensor", "Tensor"]

Look = Callable[["Tensor", "Tensor | None"], None]
"""Sees T's log-probabilities ``[n, V]`` and its mass outside the top k ``[n]`` as they are computed anyway."""


def divergence(term: Divergence, student_nV: Tensor, teacher_nV: Tensor, look: Look | None = None) -> Entries:
    """Return the value ``[n]`` of a divergence and its gradient ``[n, V]`` with respect to the student's logits."""
    s_nV = (student_nV / term.temperature).log_softmax(-1)
    t_nV = (teacher_nV / term.temperature).log_softmax(-1)
    if term.top_k is None:
        if look is not None:
            look(t_nV, None)
        value_n, grad_nV = _over_support(term, s_nV, t_nV, s_nV)
    else:
        value_n, grad_nV = _over_top_k(term, s_nV, t_nV, look)
    value_n, kept_n = _bounded(term, value_n)
    return value_n, grad_nV.mul_((kept_n / term.temperature)[:, None])


def _over_top_k(term: Divergence, s_nV: Tensor, t_nV: Tensor, look: Look | None) -> Entries:
    assert term.top_k is not None
    t_nK, ids_nK = t_nV.topk(term.top_k, dim=-1)
    if look is not None:
        look(t_nV, 1 - t_nK.exp().sum(-1))
    s_nK = s_nV.gather(-1, ids_nK)
    if term.renorm != "none":
        t_nK = t_nK.log_softmax(-1)
    if term.renorm == "both":
        value_n, grad_nK = _over_support(term, s_nK.log_softmax(-1), t_nK, s_nK.log_softmax(-1))
        return value_n, s_nV.new_zeros(s_nV.shape).scatter_(-1, ids_nK, grad_nK)
    f_nK, g_nK = _entries(term, s_nK, t_nK)
    grad_nV = s_nV.exp().mul_(-g_nK.sum(-1, keepdim=True)).scatter_add_(-1, ids_nK, g_nK)
    return f_nK.sum(-1), grad_nV


def _over_support(term: Divergence, s_nV: Tensor, t_nV: Tensor, normalised_nV: Tensor) -> Entries:
    f_nV, g_nV = _entries(term, s_nV, t_nV)
    return f_nV.sum(-1), g_nV - normalised_nV.exp() * g_nV.sum(-1, keepdim=True)


def _entries(term: Divergence, s: Tensor, t: Tensor) -> Entries:
    """Return the summands and their derivative with respect to the student's log-probabilities."""
    f, g = _KINDS[term.kind](s, t, term.beta)
    if term.cap is not None and term.cap[0] == "entry":
        g = g * (f < term.cap[1])
        f = f.clamp(max=term.cap[1])
    return f, g


def _bounded(term: Divergence, value_n: Tensor) -> Entries:
    """Apply cap and floor to summed divergences; what they change has no gradient."""
    kept_n = value_n.new_ones(value_n.shape)
    if term.cap is not None and term.cap[0] == "position":
        kept_n = kept_n * (value_n < term.cap[1])
        value_n = value_n.clamp(max=term.cap[1])
    if term.floor is not None:
        kept_n = kept_n * (value_n > term.floor)
        value_n = value_n.clamp(min=term.floor)
    return value_n, kept_n


def _forward_kl(s: Tensor, t: Tensor, beta: float) -> Entries:
    p_t = t.exp()
    return p_t * (t - s), -p_t


def _reverse_kl(s: Tensor, t: Tensor, beta: float) -> Entries:
    p_s = s.exp()
    f = p_s * (s - t)
    return f, f + p_s


def _mixture_kl(s: Tensor, t: Tensor, beta: float) -> Entries:
    p_s, p_t = s.exp(), t.exp()
    mixture = beta * p_t + (1 - beta) * p_s
    return beta * p_t * (t - mixture.log()), -beta * (1 - beta) * p_t * p_s / mixture


def _jsd(s: Tensor, t: Tensor, beta: float) -> Entries:
    p_s, p_t = s.exp(), t.exp()
    log_m = (beta * p_t + (1 - beta) * p_s).log()
    own = (1 - beta) * p_s * (s - log_m)
    return beta * p_t * (t - log_m) + own, own


_KINDS = {"forward_kl": _forward_kl, "reverse_kl": _reverse_kl, "mixture_kl": _mixture_kl, "jsd": _jsd}
