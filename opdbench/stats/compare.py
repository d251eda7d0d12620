"""Differences of methods that answered the same problems: paired tests, multiplicity, rank intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opdbench.errors import DataError

MAX_EXACT_FLIPS = 20
NUM_FLIPS = 100_000

Alternative = Literal["two-sided", "greater"]
Correction = Literal["holm", "bonferroni", "fdr_bh", "fdr_by"]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A mean difference a - b with standard error, degrees of freedom, two-sided p and confidence interval."""

    mean: float
    se: float
    df: float
    p: float
    low: float
    high: float


def difference_from(mean: float, se: float, df: float, confidence: float = 0.95) -> PairedDifference:
    """Return the t test and interval of a mean difference; without any variation p is 1 at 0 and 0 elsewhere."""
    from scipy import stats

    margin = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    p = 2 * float(stats.t.sf(abs(mean) / se, df)) if se > 0 else float(mean == 0)
    return PairedDifference(mean, se, df, p, mean - margin, mean + margin)


def paired_difference(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> PairedDifference:
    """Return the paired t test of two methods on the same problems: SE = sd(a - b) / sqrt(P).

    Raises:
        DataError: the lengths differ, or there are fewer than two problems.
    """
    from scipy import stats

    d = _differences(a, b)
    if len(d) < 2:
        raise DataError("a paired difference needs at least two problems")
    if max(d) == min(d):
        return difference_from(d[0], 0.0, len(d) - 1, confidence)
    return difference_from(sum(d) / len(d), float(stats.sem(d)), len(d) - 1, confidence)


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b) or len(a) == 0:
        raise DataError(f"paired values are for the same problems, got {len(a)} and {len(b)}")
    return [x - y for x, y in zip(a, b, strict=True)]


def sign_flip(a: Sequence[float], b: Sequence[float], alternative: Alternative = "two-sided", seed: int = 0) -> float:
    """Return the p value of the sign-flip test on the mean difference a - b; the identity counts.

    Exact over all 2^P sign vectors for up to 20 problems, else 100,000 seeded draws.

    Raises:
        DataError: the lengths differ, or there are no problems.
    """
    upper, two_sided = _flip_tests([_differences(a, b)], seed)[0]
    return upper if alternative == "greater" else two_sided


def _flip_tests(rows: Sequence[Sequence[float]], seed: int) -> list[tuple[float, float]]:
    """Return (upper, two-sided) p values of several difference vectors, all under the same draws."""
    if len(rows[0]) <= MAX_EXACT_FLIPS:
        return [_exact_flips(row) for row in rows]
    import numpy as np

    generator, d = np.random.default_rng(seed), np.asarray(rows, dtype=float).T
    observed, slack = d.sum(axis=0), _slack(d)
    upper, outer = np.ones(len(rows)), np.ones(len(rows))
    for _ in range(NUM_FLIPS // 1000):
        sums = generator.choice([-1.0, 1.0], size=(1000, len(d))) @ d
        upper += (sums >= observed - slack).sum(axis=0)
        outer += (abs(sums) >= abs(observed) - slack).sum(axis=0)
    return [(float(u) / (NUM_FLIPS + 1), float(o) / (NUM_FLIPS + 1)) for u, o in zip(upper, outer, strict=True)]


def _slack(d: Any) -> Any:
    """Return how far sums may miss each other by rounding; scores are multiples of 1/n and differ by far more."""
    return 1e-10 * (abs(d).sum(axis=0) + 1)


def _exact_flips(d: Sequence[float]) -> tuple[float, float]:
    """Count all 2^P signed sums at or beyond the observed one, from the sorted sums of the two halves."""
    import numpy as np

    def signed_sums(part: Sequence[float]) -> Any:
        sums = np.zeros(1)
        for value in part:
            sums = np.concatenate([sums + value, sums - value])
        return np.sort(sums)

    left, right = signed_sums(d[: len(d) // 2]), signed_sums(d[len(d) // 2 :])
    slack = _slack(np.asarray(d))

    def share_from(bound: float) -> float:
        return float((len(left) - np.searchsorted(left, bound - slack - right)).sum()) / 2 ** len(d)

    observed = sum(d)
    return share_from(observed), min(1.0, 2 * share_from(abs(observed))) if abs(observed) > slack else 1.0


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Return the exact McNemar p of one-sample outcomes: 2 P(Bin(a + b, 1/2) <= min(a, b)) (statsmodels)."""
    from statsmodels.stats.contingency_tables import mcnemar

    result: Any = mcnemar([[0, only_a], [only_b, 0]], exact=True)
    return float(result.pvalue)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """P values after correction for their number, and which of them are significant."""

    p: tuple[float, ...]
    reject: tuple[bool, ...]


def adjust(p_values: Sequence[float], method: Correction = "holm", alpha: float = 0.05) -> Adjusted:
    """Correct p values for their number (statsmodels): Holm for claims, Benjamini-Hochberg for exploration."""
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return Adjusted((), ())
    result: Any = multipletests(p_values, alpha=alpha, method=method)
    reject, adjusted, *_ = result
    return Adjusted(tuple(float(p) for p in adjusted), tuple(bool(flag) for flag in reject))


def superiority(
    scores: Mapping[str, Sequence[float]], correction: Correction | None = "holm", seed: int = 0
) -> dict[tuple[str, str], float]:
    """Return the one-sided sign-flip p of "first is better than second" for every ordered pair of methods."""
    pairs = [(a, b) for a in scores for b in scores if a != b]
    if not pairs:
        return {}
    p_values = [upper for upper, _ in _flip_tests([_differences(scores[a], scores[b]) for a, b in pairs], seed)]
    return dict(zip(pairs, adjust(p_values, correction).p if correction else p_values, strict=True))


def rank_intervals(
    scores: Mapping[str, Sequence[float]], alpha: float = 0.05, correction: Correction | None = "holm", seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Return each method's best and worst rank that the data allow.

    best = 1 + number of methods significantly better, worst = M - number significantly worse, by ``superiority``.
    """
    p = superiority(scores, correction, seed)
    return {
        name: (
            1 + sum(p[other, name] < alpha for other in scores if other != name),
            len(scores) - sum(p[name, other] < alpha for other in scores if other != name),
        )
        for name in scores
    }


def minimum_detectable_difference(se: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return (z(1 - alpha/2) + z(power)) x SE: a true difference that is found significant that often."""
    from scipy import stats

    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * se


def problems_needed(sd: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return the number of problems at which ``difference`` is detectable, from the sd of paired differences."""
    return math.ceil((minimum_detectable_difference(sd, alpha, power) / difference) ** 2 - 1e-9)
