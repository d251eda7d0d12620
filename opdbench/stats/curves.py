"""Means over benchmarks, and curves of score against budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from opdbench.errors import DataError

Curve = Sequence[tuple[float, float]]


class ScoreAt(NamedTuple):
    """The score that a budget buys; ``carried_forward`` when the run had ended before."""

    score: float | None
    carried_forward: bool


def macro(means: Sequence[float], ses: Sequence[float]) -> tuple[float, float]:
    """Return the unweighted mean over benchmarks and its error sqrt(sum SE^2) / B.

    A row that lacks a benchmark has no macro mean; the caller leaves it out rather than shortening the list.

    Raises:
        DataError: there are no benchmarks, or means and errors differ in number.
    """
    if not means or len(means) != len(ses):
        raise DataError(f"a macro mean needs one error per benchmark, got {len(means)} means and {len(ses)} errors")
    return sum(means) / len(means), math.sqrt(sum(se**2 for se in ses)) / len(means)


def micro(means: Sequence[float], ses: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """Return the mean over all problems of all benchmarks and its error: sum n m / sum n, sqrt(sum n^2 SE^2) / sum n.

    Raises:
        DataError: there are no benchmarks, or the lengths differ.
    """
    if not means or not len(means) == len(ses) == len(sizes):
        raise DataError("a micro mean needs one error and one size per benchmark")
    whole = sum(sizes)
    variance = sum((size * se) ** 2 for size, se in zip(sizes, ses, strict=True))
    return sum(size * mean for size, mean in zip(sizes, means, strict=True)) / whole, math.sqrt(variance) / whole


def score_at(curve: Curve, budget: float) -> ScoreAt:
    """Return the score of the last checkpoint with spend <= budget; never interpolated, None before the first."""
    points = sorted(curve)
    reached = [score for spend, score in points if spend <= budget]
    return ScoreAt(reached[-1] if reached else None, bool(reached) and budget > points[-1][0])


def log2_auc(curve: Curve, low: float, high: float) -> float:
    """Return the mean of the step curve over log2(budget) between two budgets.

    Raises:
        DataError: the range is empty or not positive, or begins before the first checkpoint.
    """
    points = sorted(curve)
    if not 0 < low < high or not points or points[0][0] > low:
        raise DataError(f"the curve has no area over [{low}, {high}]: it begins at {points[0][0] if points else None}")
    edges = [low, *sorted({spend for spend, _ in points if low < spend < high}), high]
    area = sum(
        (score_at(points, start).score or 0.0) * math.log2(end / start) for start, end in itertools.pairwise(edges)
    )
    return area / math.log2(high / low)


def budget_to_target(curve: Curve, target: float) -> float | None:
    """Return the smallest spend at which a checkpoint scores the target or more; None where none does."""
    return min((spend for spend, score in curve if score >= target), default=None)


def pareto(curves: Mapping[str, Curve]) -> list[tuple[str, float, float]]:
    """Return (name, spend, score) of the checkpoints that no other one beats, by spend.

    A checkpoint is beaten by one with at most its spend and at least its score, one of the two strictly.
    """
    points = [(name, spend, score) for name, curve in curves.items() for spend, score in curve]

    def beaten(spend: float, score: float) -> bool:
        return any(s <= spend and q >= score and (s < spend or q > score) for _, s, q in points)

    front = [point for point in points if not beaten(point[1], point[2])]
    return sorted(front, key=lambda point: (point[1], point[0]))
