"""Estimates from a table of verdicts: one row per problem, one 0 or 1 per sample, None where a sample is missing.

A missing sample is an error and never a wrong answer: a truncated response is graded wrong long before it gets here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from opdbench.errors import DataError

Table = Sequence[Sequence[int | None]]


class IncompleteSamples(DataError):
    """Samples are missing; the estimate is withheld rather than taken over what is there."""


def correct_counts(table: Table, num_samples: int | None = None) -> list[int]:
    """Return the number of correct samples of every problem.

    Args:
        table: Verdicts.
        num_samples: Samples that every problem must have; by default as many as the longest row.

    Raises:
        IncompleteSamples: a problem has fewer samples, or a sample is None.
        DataError: the table is empty, a row is longer than declared, or an entry is neither 0 nor 1.
    """
    if not table:
        raise DataError("a table without problems has no score")
    expected = max(len(row) for row in table) if num_samples is None else num_samples
    for index, row in enumerate(table):
        present = sum(entry is not None for entry in row)
        if present < expected or len(row) > present:
            raise IncompleteSamples(f"problem {index}: {present} of {max(expected, len(row))} samples are there")
        if len(row) > expected or any(entry not in (0, 1) for entry in row):
            raise DataError(f"problem {index}: {expected} verdicts of 0 or 1 expected, got {list(row)}")
    return [sum(entry or 0 for entry in row) for row in table]


def at_least(num_samples: int, num_correct: int, k: int, need: int) -> float | None:
    """Return the chance that k of n samples, drawn without replacement, hold ``need`` or more correct ones.

    sum over j >= need of C(c, j) C(n - c, k - j) / C(n, k), in exact integers. pass@k is ``need = 1`` (Chen et al.
    2021, arXiv 2107.03374), pass^k ``need = k``. None, as undefined, where k is above n.
    """
    if not 0 <= num_correct <= num_samples or k < 1:
        raise DataError(f"{num_correct} of {num_samples} samples correct at k = {k} cannot be")
    if k > num_samples:
        return None
    wrong = num_samples - num_correct
    hits = range(max(need, k - wrong), min(num_correct, k) + 1)
    return sum(math.comb(num_correct, j) * math.comb(wrong, k - j) for j in hits) / math.comb(num_samples, k)


def pass_chance(num_samples: int, num_correct: int, k: int) -> float | None:
    """Return the unbiased pass@k of one problem: 1 - C(n - c, k) / C(n, k); None where k > n."""
    return at_least(num_samples, num_correct, k, 1)


def pass_hat_chance(num_samples: int, num_correct: int, k: int) -> float | None:
    """Return pass^k of one problem, the chance that all of k are correct: C(c, k) / C(n, k); None where k > n."""
    return at_least(num_samples, num_correct, k, k)


def g_pass_chance(num_samples: int, num_correct: int, k: int, tau: float) -> float | None:
    """Return G-Pass@k_tau of one problem: at least ceil(tau k) of k correct (arXiv 2412.13147); None where k > n."""
    # 0.7 * 10 is a little above 7 in floating point; its ceiling must be 7.
    return at_least(num_samples, num_correct, k, max(1, math.ceil(tau * k - 1e-9)))


def mg_pass_chance(num_samples: int, num_correct: int, k: int) -> float | None:
    """Return mG-Pass@k of one problem: 2/k times the sum of G-Pass@k_(i/k) over i from ceil(k/2) + 1 to k."""
    terms = [at_least(num_samples, num_correct, k, need) for need in range(math.ceil(k / 2) + 1, k + 1)]
    return None if k > num_samples else 2 / k * sum(term or 0.0 for term in terms)


def _mean(table: Table, chance: Callable[[int, int], float | None]) -> float | None:
    """Return the mean over problems of a function of (num_samples, num_correct), None where that is undefined."""
    values = [chance(len(row), count) for row, count in zip(table, correct_counts(table), strict=True)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def avg_at_k(table: Table, k: int | None = None) -> float:
    """Return avg@k, the mean over problems of the share of correct samples; all samples count.

    Raises:
        IncompleteSamples: a problem has fewer than k samples.
    """
    counts = correct_counts(table)
    num_samples = len(table[0])
    if k is not None and k > num_samples:
        raise IncompleteSamples(f"avg@{k} needs {k} samples per problem, there are {num_samples}")
    return sum(counts) / (len(counts) * num_samples)


def pass_at_k(table: Table, k: int) -> float | None:
    """Return the mean over problems of the unbiased pass@k; None where k > n."""
    return _mean(table, lambda n, c: pass_chance(n, c, k))


def pass_hat_k(table: Table, k: int) -> float | None:
    """Return the mean over problems of pass^k; None where k > n."""
    return _mean(table, lambda n, c: pass_hat_chance(n, c, k))


def g_pass_at_k(table: Table, k: int, tau: float) -> float | None:
    """Return the mean over problems of G-Pass@k_tau; None where k > n."""
    return _mean(table, lambda n, c: g_pass_chance(n, c, k, tau))


def mg_pass_at_k(table: Table, k: int) -> float | None:
    """Return the mean over problems of mG-Pass@k; None where k > n."""
    return _mean(table, lambda n, c: mg_pass_chance(n, c, k))


def metric_values(metric: str, counts: Sequence[int], num_samples: int) -> list[float] | None:
    """Return a metric of every problem, from its number of correct samples.

    Args:
        metric: ``avg@k``, ``pass@k`` or ``pass^k``.
        counts: Correct samples of each problem.
        num_samples: Samples of each problem; avg@k takes all of them, with k at most this.

    Returns:
        One value per problem, or None where k is above ``num_samples``.

    Raises:
        DataError: the metric has another form.
    """
    name, k = parse_metric(metric)
    if k > num_samples:
        return None
    if name == "avg":
        return [count / num_samples for count in counts]
    chance = pass_chance if name == "pass@" else pass_hat_chance
    return [chance(num_samples, count, k) or 0.0 for count in counts]


def parse_metric(metric: str) -> tuple[str, int]:
    """Return the family (``avg``, ``pass@`` or ``pass^``) and k of a metric's name.

    Raises:
        DataError: the name has another form, or k is not positive.
    """
    for prefix, name in (("avg@", "avg"), ("pass@", "pass@"), ("pass^", "pass^")):
        digits = metric.removeprefix(prefix)
        if digits != metric and digits.isdecimal() and int(digits) > 0:
            return name, int(digits)
    raise DataError(f"metric {metric!r} is unknown; there are avg@k, pass@k and pass^k")
