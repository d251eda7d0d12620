"""What arXiv 2606.08432 measures of trajectories: sections 4.3 and B.1, appendix C.5. Off the budget.

``docs/metrics.md`` says where the paper leaves a choice, and what was chosen. Shapes: ``N`` response tokens, ``B``
sequences, ``n`` positions of a chunk, ``V`` vocabulary.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from opdbench.budget import Ledger
from opdbench.engines.chat import Chat
from opdbench.method import Refined, Trajectory
from opdbench.training.batch import Batch
from opdbench.training.grading import Graded, as_sample, outcomes
from opdbench.training.trajectories import Rollout

ONSET_PHRASES = (
    "Wait",
    "Actually",
    "However",
    "Alternatively",
    "Oops",
    "Wrong",
    "Error",
    "Incorrect",
    "Correction",
    "Sorry",
    "Hmm",
    "Oh",
    "Hold",
    "Pause",
    "Uh",
    "Um",
)
"""The phrases that appendix C.5 of arXiv 2606.08432 lists, in its order; see ``docs/metrics.md`` on their number."""

Logits = Callable[[Tensor], Tensor]
"""Rows ``[n]`` -> one role's logits ``[n, V]``."""


def diagnose(batch: Batch, trajectory: Trajectory, rewards_B: Tensor, ledger: Ledger) -> dict[str, float]:
    """Return the diagnostics of a batch before its update; missing scores cost a pass charged to ``diagnostics``.

    Args:
        batch: The scored rollouts.
        trajectory: What drew them.
        rewards_B: Their outcomes.
        ledger: Where the work is charged.
    """
    student, teacher = batch.observer("student"), batch.observer("teacher")
    assert student is not None
    with ledger.phase("diagnostics"):
        found = token_values(student, teacher, batch.packed.tokens_N, onset_ids(batch.chat))
        drafts_B, metrics = rewards_B, dict[str, float]()
        if isinstance(trajectory, Refined):
            texts = stages(batch.rollouts, batch.chat)
            graded = {"refined": rewards_B.tolist()} | {name: outcomes(items) for name, items in texts.items()}
            drafts_B = rewards_B.new_tensor(graded["raw"])
            metrics = _lengths(texts, batch.packed.lengths) | _pass_rates(graded)
        passed_N = drafts_B[batch.packed.sequence_N] > 0
        metrics |= _by_outcome(found, passed_N) | _whole(found)
    return {f"diagnose/{name}": value for name, value in metrics.items()}


def onset_ids(chat: Chat) -> list[int]:
    """Return the first token of every phrase, bare and after a space, each once (C.5)."""
    variants = [variant for phrase in ONSET_PHRASES for variant in (phrase, f" {phrase}")]
    return sorted({chat.response_ids(variant)[0] for variant in variants})


@torch.no_grad()
def token_values(
    student: Logits, teacher: Logits | None, tokens_N: Tensor, onset: Sequence[int], chunk_size: int = 512
) -> dict[str, Tensor]:
    """Return ``[N]`` log-probabilities, onset mass and both full-vocabulary KLs, at temperature 1."""
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for rows_n in torch.arange(len(tokens_N), device=tokens_N.device).split(chunk_size):
        logp = {"student": student(rows_n).log_softmax(-1)}
        if teacher is not None:
            logp["teacher"] = teacher(rows_n).log_softmax(-1)
        for role, logp_nV in logp.items():
            parts[f"logp/{role}"].append(logp_nV.gather(-1, tokens_N[rows_n][:, None])[:, 0])
            parts[f"onset_mass/{role}"].append(logp_nV[:, [id for id in onset if id < logp_nV.shape[-1]]].exp().sum(-1))
        if teacher is not None:
            parts["reverse_kl"].append(_kl(logp["student"], logp["teacher"]))
            parts["forward_kl"].append(_kl(logp["teacher"], logp["student"]))
    return {name: torch.cat(values) for name, values in parts.items()}


def _kl(p_nV: Tensor, q_nV: Tensor) -> Tensor:
    return (p_nV.exp() * (p_nV - q_nV)).sum(-1)


def _by_outcome(found: Mapping[str, Tensor], passed_N: Tensor) -> dict[str, float]:
    """Return token-weighted means of both KLs, over tokens of passing and of failing stage-1 rollouts."""
    return {
        f"{kind}/{outcome}": float(found[kind][mask_N].double().mean())
        for kind in ("reverse_kl", "forward_kl")
        if kind in found
        for outcome, mask_N in (("pass", passed_N), ("fail", ~passed_N))
        if bool(mask_N.any())
    }


def _whole(found: Mapping[str, Tensor]) -> dict[str, float]:
    """Return perplexities with their gap, and onset mass, over all response tokens."""
    means = {name: float(value.double().mean()) for name, value in found.items()}
    metrics = {name: value for name, value in means.items() if name.startswith("onset_mass/")}
    for role in ("student", "teacher"):
        if f"logp/{role}" in found:
            metrics[f"perplexity/{role}"] = float(found[f"logp/{role}"].double().mean().neg().exp())
    if "perplexity/teacher" in metrics:
        metrics["perplexity_gap"] = metrics["perplexity/teacher"] - metrics["perplexity/student"]
    return metrics


def stages(rollouts: Sequence[Rollout], chat: Chat) -> dict[str, list[Graded]]:
    """Return what came before the refined responses: the raw drafts, and the data's references where there are any."""
    texts: dict[str, list[Graded]] = {"raw": [], "reference": []}
    for rollout in rollouts:
        problem, reference = rollout.slot.problem, rollout.slot.problem.problem.reference
        texts["raw"].append((problem, as_sample(problem, rollout.draft, len(rollout.draft_ids))))
        if reference is not None:
            texts["reference"].append((problem, as_sample(problem, reference, len(chat.response_ids(reference)))))
    return {name: items for name, items in texts.items() if items}


def _lengths(texts: Mapping[str, Sequence[Graded]], refined: Sequence[int]) -> dict[str, float]:
    lengths = {"refined": refined} | {name: [s.num_tokens for _, s in items] for name, items in texts.items()}
    means = {f"mean_tokens/{name}": statistics.fmean(values) for name, values in lengths.items()}
    return means | {f"median_tokens/{name}": float(statistics.median(values)) for name, values in lengths.items()}


def _pass_rates(graded: Mapping[str, Sequence[float]]) -> dict[str, float]:
    rates = {f"pass_rate/{name}": statistics.fmean(values) for name, values in graded.items()}
    return rates | transitions(graded["raw"], graded["refined"])


def transitions(raw: Sequence[float], refined: Sequence[float]) -> dict[str, float]:
    """Return the fail / pass table of drafts and their refinements, as parts of all pairs."""
    words = ("fail", "pass")
    pairs = [(raw_one > 0, refined_one > 0) for raw_one, refined_one in zip(raw, refined, strict=True)]
    return {
        f"transition/{words[before]}_{words[after]}": pairs.count((before, after)) / len(pairs)
        for before in (False, True)
        for after in (False, True)
    }
