import itertools
import math
import subprocess
import sys
from pathlib import Path

import golden_stats
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from opdbench import stats
from opdbench.errors import DataError, OPDBenchError

GOLDEN = Path(__file__).parent / "golden" / "golden_stats.json"


@st.composite
def tables(draw, max_problems=6, max_samples=6):
    num_samples = draw(st.integers(1, max_samples))
    row = st.lists(st.integers(0, 1), min_size=num_samples, max_size=num_samples)
    return draw(st.lists(row, min_size=1, max_size=max_problems))


def shares(num_problems):
    return st.lists(st.integers(0, 8).map(lambda c: c / 8), min_size=num_problems, max_size=num_problems)


PAIRS = st.integers(2, 9).flatmap(lambda n: st.tuples(shares(n), shares(n)))


def over_subsets(table, k, good):
    rows = [[good(subset) for subset in itertools.combinations(row, k)] for row in table]
    return sum(sum(row) / len(row) for row in rows) / len(rows)


def test_all_golden_cases_pass(capsys):
    golden_stats.main(GOLDEN)
    assert capsys.readouterr().out == "22 passed, 0 failed, 0 skipped\n"


def test_golden_comparison_sees_changes():
    item = {"id": "mde", "abs_tol": 1e-12, "inputs": {"sd_d": 0.25, "alpha": 0.05, "power": 0.8, "n": [30]}}
    assert golden_stats.check(item | {"expected": {"n_needed_for_0_05": 197}}) == []
    assert golden_stats.check(item | {"expected": {"mde": {"30": 0.13}}})
    assert golden_stats.check(item | {"expected": {"unknown": 1}})
    assert golden_stats.check(item | {"inputs": {}, "expected": {}})
    wrong = {"id": "passk_unbiased", "abs_tol": 1e-9, "inputs": {"rows": [{"n": 4, "c": 2, "k": 2}]}}
    rows = [{"naive_plugin_1_minus_1mpk": 5 / 6}]
    assert "wrong estimator" in golden_stats.check(wrong | {"expected": {"rows": rows}})[0]


@settings(max_examples=50)
@given(tables(), st.integers(1, 6), st.sampled_from([0.1, 0.25, 0.5, 0.7, 1.0]))
def test_estimators_equal_enumeration(table, k, tau):
    if k > len(table[0]):
        undefined = (stats.pass_at_k(table, k), stats.pass_hat_k(table, k), stats.mg_pass_at_k(table, k))
        assert undefined == (None, None, None)
        assert stats.g_pass_at_k(table, k, tau) is None
        with pytest.raises(stats.IncompleteSamples):
            stats.avg_at_k(table, k)
        return
    assert stats.pass_at_k(table, k) == pytest.approx(over_subsets(table, k, any))
    assert stats.pass_hat_k(table, k) == pytest.approx(over_subsets(table, k, all))
    assert stats.g_pass_at_k(table, k, tau) == pytest.approx(over_subsets(table, k, lambda s: sum(s) >= tau * k - 1e-9))
    assert stats.avg_at_k(table, k) == pytest.approx(sum(map(sum, table)) / sum(map(len, table)))


@settings(max_examples=50)
@given(tables())
def test_estimators_are_ordered(table):
    n = len(table[0])
    passes = [stats.pass_at_k(table, k) for k in range(1, n + 1)]
    hats = [stats.pass_hat_k(table, k) for k in range(1, n + 1)]
    assert passes == sorted(passes)
    assert hats == sorted(hats, reverse=True)
    assert passes[0] == hats[0] == pytest.approx(stats.avg_at_k(table))
    assert all(
        low <= stats.g_pass_at_k(table, k, 0.5) <= high
        for k, low, high in zip(range(1, n + 1), hats, passes, strict=True)
    )
    counts = stats.correct_counts(table)
    assert stats.metric_values(f"avg@{n}", counts, n) == [count / n for count in counts]
    assert np.mean(stats.metric_values(f"pass@{n}", counts, n)) == pytest.approx(passes[-1])
    assert np.mean(stats.metric_values(f"pass^{n}", counts, n)) == pytest.approx(hats[-1])
    assert stats.metric_values(f"pass@{n + 1}", counts, n) is None


def test_missing_samples_withhold_the_estimate():
    for table in ([[1, None]], [[1, 0], [1]], [[1, 0], []]):
        with pytest.raises(stats.IncompleteSamples) as caught:
            stats.avg_at_k(table)
        assert isinstance(caught.value, OPDBenchError)
    with pytest.raises(stats.IncompleteSamples, match="problem 1: 2 of 4"):
        stats.correct_counts([[1, 1, 1, 1], [1, 0, None, None]], 4)
    for table in ([], [[0, 2]]):
        with pytest.raises(DataError):
            stats.avg_at_k(table)
    for metric in ("avg", "avg@0", "pass@x", "maj@4", "pass@-1"):
        with pytest.raises(DataError, match="is unknown"):
            stats.parse_metric(metric)


def vote(subset, gold, ties):
    counts = {answer: subset.count(answer) for answer in subset if answer is not None}
    best = [answer for answer in counts if counts[answer] == max(counts.values())]
    if gold not in best:
        return 0
    first = min(best, key=subset.index) == gold
    return {"uniform": 1 / len(best), "first": first, "wrong": len(best) == 1}[ties]


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=8),
    st.integers(1, 9),
    st.sampled_from(["uniform", "first", "wrong"]),
)
def test_majority_equals_enumeration(answers, k, ties):
    found = stats.maj_at_k(answers, "a", k, ties)
    if k > len(answers):
        assert found is None
        return
    subsets = list(itertools.combinations(answers, k))
    assert found == pytest.approx(sum(vote(subset, "a", ties) for subset in subsets) / len(subsets))


def test_majority_of_many_samples_is_quick():
    answers = [str(index % 9) for index in range(64)]
    assert 0 < stats.maj_at_k(answers, "0", 32, "first") < 1


@settings(max_examples=50)
@given(PAIRS)
def test_sign_flip_equals_scipy(pair):
    a, b = pair
    d = np.subtract(a, b)
    for alternative in ("two-sided", "greater"):
        exact = scipy_stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=alternative
        )
        assert stats.sign_flip(a, b, alternative) == pytest.approx(exact.pvalue)


def test_sign_flip_draws_agree_with_the_exact_test():
    generator = np.random.default_rng(1)
    a = generator.integers(0, 9, 20) / 8
    b = np.clip(a - generator.integers(-1, 3, 20) / 8, 0, 1)
    exact = stats.sign_flip(a, b)
    # Problems on which both agree change nothing, but make the test too large to enumerate.
    drawn = stats.sign_flip([*a, 0.5], [*b, 0.5])
    assert 0.001 < exact < 0.5
    assert drawn == pytest.approx(exact, abs=0.01)
    assert drawn == stats.sign_flip([*a, 0.5], [*b, 0.5])
    assert stats.sign_flip([0.5] * 30, [0.5] * 30) == 1


@settings(max_examples=50)
@given(PAIRS)
def test_paired_difference_equals_scipy(pair):
    a, b = pair
    found = stats.paired_difference(a, b)
    d = np.subtract(a, b)
    assert found.mean == pytest.approx(d.mean())
    if d.min() == d.max():
        assert (found.se, found.p) == (0, float(d[0] == 0))
        return
    right = scipy_stats.ttest_rel(a, b)
    low, high = right.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((right.pvalue, low, high))
    single = stats.paired_seeds([a], [b])
    assert (single.se, single.p) == pytest.approx((found.se, found.p))


@settings(max_examples=50)
@given(shares(7), st.integers(1, 8))
def test_wilson_stays_inside_and_never_collapses(values, num_samples):
    low, high = stats.wilson_clustered(values, num_samples)
    assert 0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1
    assert high - low > 0.01
    whole = stats.estimate(values, num_samples)
    assert (whole.value, whole.low, whole.high) == (pytest.approx(np.mean(values)), low, high)
    assert stats.estimate(values[:1]) == stats.Estimate(values[0], None, None, None)


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 10**6))
def test_seeds_and_problems_split_the_variance(num_seeds, num_problems, seed):
    y = np.random.default_rng(seed).normal(size=(num_seeds, num_problems))
    split = stats.anova(y.tolist())
    total = ((y - y.mean()) ** 2).sum()
    parts = split.ms_seed * (num_seeds - 1) + split.ms_problem * (num_problems - 1)
    parts += split.ms_residual * (num_seeds - 1) * (num_problems - 1)
    assert parts == pytest.approx(total)
    assert split.se >= split.se_seeds_only > 0
    turned = stats.anova(y.T.tolist())
    assert (turned.ms_problem, turned.se) == pytest.approx((split.ms_seed, split.se))
    pair = stats.paired_seeds(y.tolist(), np.zeros_like(y).tolist())
    assert (pair.mean, pair.se) == pytest.approx((split.mean, split.se))
    assert min(num_seeds, num_problems) - 1 <= pair.df <= (num_seeds - 1) * (num_problems - 1)
    assert pair.low < pair.mean < pair.high


def test_paired_seeds_keeps_its_level():
    """Without a true difference, p < 0.05 must be about as rare as it says, whichever source dominates."""
    generator, rejected = np.random.default_rng(0), []
    for sd_seed, sd_problem in ((0.3, 0.1), (0.1, 0.3), (0.0, 0.0)):
        for _ in range(300):
            d = generator.normal(size=(3, 1)) * sd_seed + generator.normal(size=(1, 12)) * sd_problem
            d = d + generator.normal(size=(3, 12)) * 0.2
            rejected.append(stats.paired_seeds(d.tolist(), np.zeros((3, 12)).tolist()).p < 0.05)
    assert sum(rejected) / len(rejected) < 0.09


def test_tables_that_cannot_be_compared_are_refused():
    for a, b in (([[1, 2]], [[1]]), ([[1]], [[1]]), ([], []), ([[1, 2], [3, 4]], [[1, 2]])):
        with pytest.raises(DataError):
            stats.paired_seeds(a, b)
    for table in ([[1, 2], [3]], [[1, 2]], [[1], [2]]):
        with pytest.raises(DataError):
            stats.anova(table)
    for a, b in (([1], [2, 3]), ([1, 1], [2, 2])):
        with pytest.raises(DataError, match="Welch"):
            stats.welch(a, b)
    with pytest.raises(DataError, match="same problems"):
        stats.sign_flip([1, 2], [1])
    with pytest.raises(DataError, match="two problems"):
        stats.paired_difference([1], [2])


# statsmodels collects garbage on every call, which takes long once torch is loaded.
@settings(max_examples=5)
@given(st.lists(st.integers(0, 1000).map(lambda p: p / 1000), min_size=1, max_size=8))
def test_corrections_are_ordered(p):
    bonferroni, holm, exploratory = (stats.adjust(p, method).p for method in ("bonferroni", "holm", "fdr_bh"))
    assert all(b + 1e-12 >= h >= e - 1e-12 for b, h, e in zip(bonferroni, holm, exploratory, strict=True))
    assert all(e + 1e-12 >= raw for e, raw in zip(exploratory, p, strict=True))


def test_rank_intervals_hold_the_rank_by_mean():
    generator = np.random.default_rng(0)
    scores = {name: generator.binomial(16, 0.3 + 0.1 * step, 40) / 16 for step, name in enumerate("abcd")}
    order = sorted(scores, key=lambda name: -scores[name].mean())
    plain, holm = stats.rank_intervals(scores, correction=None), stats.rank_intervals(scores)
    for rank, name in enumerate(order, start=1):
        assert holm[name][0] <= plain[name][0] <= rank <= plain[name][1] <= holm[name][1]
    assert stats.rank_intervals({"only": [1, 0]}) == {"only": (1, 1)}
    assert stats.adjust([]).p == ()


def test_bootstrap_draws_reach_the_exact_spread():
    values = np.random.default_rng(0).integers(0, 9, 30) / 8
    means = stats.resampled_means(values, num_resamples=20_000)
    assert np.std(means) == pytest.approx(math.sqrt(29 / 30) * stats.se_over_problems(values), rel=0.03)
    low, high = stats.bootstrap_interval(values)
    assert low < values.mean() < high
    assert (low, high) == stats.bootstrap_interval(values)


@settings(max_examples=50)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_superiority_of_one_problem(case):
    n, a, b = case
    p = stats.beta_superiority(a, b, n)
    assert p + stats.beta_superiority(b, a, n) == pytest.approx(1)
    assert (p > 0.5 + 1e-9) == (a > b)


def test_curves():
    curve = [(4, 0.3), (1, 0.2), (2, 0.1)]
    assert stats.score_at(curve, 3) == (0.1, False)
    assert stats.score_at(curve, 0.5) == (None, False)
    assert stats.score_at(curve, 4) == (0.3, False)
    assert stats.score_at(curve, 5) == (0.3, True)
    assert stats.log2_auc(curve, 1, 4) == pytest.approx(0.15)
    assert stats.budget_to_target(curve, 0.9) is None
    assert stats.pareto({"x": curve}) == [("x", 1, 0.2), ("x", 4, 0.3)]
    for low, high in ((0.5, 2), (2, 2), (0, 1)):
        with pytest.raises(DataError, match="no area"):
            stats.log2_auc(curve, low, high)
    for wrong in (lambda: stats.macro([], []), lambda: stats.macro([1], []), lambda: stats.micro([1], [1], [])):
        with pytest.raises(DataError):
            wrong()


def test_importing_is_light():
    code = "import sys, opdbench.stats; sys.exit(bool({'numpy', 'scipy', 'pandas', 'statsmodels'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
