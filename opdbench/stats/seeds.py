"""Training seeds and problems as two sources of error: a claim about a method needs both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.errors import DataError
from opdbench.stats.compare import PairedDifference, difference_from

Scores = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Variance of a seed x problem table, split by source.

    ``se`` is towards new seeds and new problems, ``se_seeds_only`` towards new seeds on these problems.
    """

    mean: float
    ms_seed: float
    ms_problem: float
    ms_residual: float
    var_seed: float
    var_problem: float
    se: float
    se_seeds_only: float


def anova(table: Scores) -> TwoWay:
    """Split the variance of Y[s, p] = mu + seed + problem + residual (two random effects, one entry per cell).

    MS_seed = P sum (row mean - mean)^2 / (S - 1), MS_problem likewise; a component is (MS - MS_residual) / P or / S,
    at least 0; Var(mean) = var_seed / S + var_problem / P + MS_residual / (S P).

    Raises:
        DataError: the table is ragged, or has fewer than two seeds or problems.
    """
    import numpy as np

    y = _array(table)
    num_seeds, num_problems = y.shape
    if min(y.shape) < 2:
        raise DataError(f"a variance split needs two seeds and two problems, got {num_seeds} and {num_problems}")
    mean, rows, columns = y.mean(), y.mean(axis=1), y.mean(axis=0)
    ms_seed, ms_problem = num_problems * np.var(rows, ddof=1), num_seeds * np.var(columns, ddof=1)
    residual = y - rows[:, None] - columns[None, :] + mean
    ms_residual = (residual**2).sum() / ((num_seeds - 1) * (num_problems - 1))
    var_seed, var_problem = (
        max(0.0, (ms_seed - ms_residual) / num_problems),
        max(0.0, (ms_problem - ms_residual) / num_seeds),
    )
    seeds_only = var_seed / num_seeds + ms_residual / y.size
    numbers = (mean, ms_seed, ms_problem, ms_residual, var_seed, var_problem)
    return TwoWay(*map(float, (*numbers, np.sqrt(seeds_only + var_problem / num_problems), np.sqrt(seeds_only))))


def anova_of_paired_difference(a: Scores, b: Scores) -> TwoWay:
    """Split the variance of a - b for two methods that share seeds and problems.

    Raises:
        DataError: the tables differ in shape, or ``anova`` cannot split them.
    """
    return anova(_difference(a, b))


def paired_seeds(a: Scores, b: Scores, confidence: float = 0.95) -> PairedDifference:
    """Return the test of two methods that share training seeds and problems.

    The error is that of ``anova_of_paired_difference``; degrees of freedom are Satterthwaite's for the mean squares
    that enter it, kept between the smallest and the residual's. With one seed (or one problem) the error is over
    problems (or seeds) alone and says nothing about the other.

    Raises:
        DataError: the tables differ in shape, or hold a single number each.
    """
    d = _difference(a, b)
    num_seeds, num_problems = len(d), len(d[0])
    if num_seeds == 1 or num_problems == 1:
        return _one_way(d[0] if num_seeds == 1 else [row[0] for row in d], confidence)
    split = anova(d)
    return difference_from(split.mean, split.se, _satterthwaite(split, num_seeds, num_problems), confidence)


def _one_way(values: Sequence[float], confidence: float) -> PairedDifference:
    """Test the mean of differences along the one direction that there is."""
    from scipy import stats

    if len(values) < 2:
        raise DataError("one seed on one problem has no standard error")
    se = 0.0 if max(values) == min(values) else float(stats.sem(values))
    return difference_from(sum(values) / len(values), se, len(values) - 1, confidence)


def _satterthwaite(split: TwoWay, num_seeds: int, num_problems: int) -> float:
    """Return (sum of mean squares)^2 / sum of (mean square^2 / df), over the mean squares that form the error."""
    seeds, problems = num_seeds - 1, num_problems - 1
    parts = [(split.ms_seed, seeds)] if split.var_seed > 0 else []
    parts += [(split.ms_problem, problems)] if split.var_problem > 0 else []
    parts += [(split.ms_residual * (1 - len(parts)), seeds * problems)]
    spread = sum(ms**2 / df for ms, df in parts)
    df = sum(ms for ms, _ in parts) ** 2 / spread if spread > 0 else min(seeds, problems)
    return float(min(max(df, min(seeds, problems)), seeds * problems))


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Return t and two-sided p of Welch's test on seed means: the conservative test, which shares nothing (scipy).

    Raises:
        DataError: a method has fewer than two seeds, or neither varies at all.
    """
    from scipy import stats

    if min(len(a), len(b)) < 2 or (len(set(a)) == 1 and len(set(b)) == 1):
        raise DataError("Welch's test needs two seeds per method and some variation between seeds")
    result: Any = stats.ttest_ind(a, b, equal_var=False)
    return float(result.statistic), float(result.pvalue)


def _array(table: Scores) -> Any:
    """Return the table as an array."""
    import numpy as np

    if not table or len({len(row) for row in table}) != 1 or not table[0]:
        raise DataError("a seed x problem table must have rows of one length")
    return np.asarray(table, dtype=float)


def _difference(a: Scores, b: Scores) -> list[list[float]]:
    """Return a - b, entry by entry."""
    if [len(row) for row in a] != [len(row) for row in b] or not a or not a[0]:
        raise DataError("paired methods need the same seeds and the same problems")
    return [[x - y for x, y in zip(left, right, strict=True)] for left, right in zip(a, b, strict=True)]
