"""What opdbench.stats makes of the inputs of each golden case; every number is recomputed from them."""

import math
from fractions import Fraction

from opdbench import stats

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def label(share):
    return str(share.numerator) if share.denominator == 1 else f"{share.numerator}/{share.denominator}"


@case
def passk_unbiased(data):
    rows = []
    for row in data["rows"]:
        ours = {"pass_at_k": stats.pass_chance(**named(row)), "pass_hat_k": stats.pass_hat_chance(**named(row))}
        rows.append(row | ours)
    return {"rows": rows}


def named(row):
    return {"num_samples": row["n"], "num_correct": row["c"], "k": row["k"]}


@case
def avgk_se_6x4(data):
    table = data["matrix_problem_by_sample"]
    n, num = len(table[0]), len(table)
    shares = [count / n for count in stats.correct_counts(table)]
    se, fixed, within = stats.se_over_problems(shares), stats.se_of_sampling(table), within_variance(table)
    mu, sigma = stats.bayes_at_n(table)
    low, high = stats.t_interval(shares)
    out = {
        f"avg_at_{n}": stats.avg_at_k(table, n),
        "per_problem": shares,
        "se_over_problems": se,
        "statsmodels_ols_cluster_bse_default_correction": se,
        "se_clustered_miller_no_finite_correction": se * math.sqrt((num - 1) / num),
        "se_fixed_problem_set": fixed,
        "ci95_t": [low, high],
        f"t_crit_df{num - 1}": (high - low) / 2 / se,
        "within_var_mean": within,
        "between_var_est": se**2 * num - within / n,
        # avg = mu (n + 2) / n - 1 / n, so its posterior sd is that of mu times (n + 2) / n.
        "scorio_avg_sigma": sigma * (n + 2) / n,
        f"bayes_at_{n}_mu": mu,
        f"bayes_at_{n}_sigma": sigma,
    }
    for k in range(1, n + 1):
        values = stats.metric_values(f"pass@{k}", stats.correct_counts(table), n)
        out |= {f"pass_at_{k}": stats.pass_at_k(table, k), f"pass_hat_{k}": stats.pass_hat_k(table, k)}
        out[f"se_pass_at_{k}_over_problems"] = stats.se_over_problems(values)
    return out


def within_variance(table):
    return stats.se_of_sampling(table) ** 2 * len(table) * len(table[0])


@case
def paired_10(data):
    a, b = data["a"], data["b"]
    n, pair = len(a), stats.paired_difference(a, b)
    se_a, se_b = stats.se_over_problems(a), stats.se_over_problems(b)
    return {
        "mean_diff": pair.mean,
        "se_paired": pair.se,
        "se_unpaired": math.hypot(se_a, se_b),
        "corr": (se_a**2 + se_b**2 - pair.se**2) / (2 * se_a * se_b),
        "t": pair.mean / pair.se,
        "p_t_two_sided": pair.p,
        "ci95": [pair.low, pair.high],
        "p_signflip_exact_two_sided": stats.sign_flip(a, b),
        "p_signflip_exact_greater": stats.sign_flip(a, b, "greater"),
        "count_two_sided": stats.sign_flip(a, b) * 2**n,
        "bootstrap_se_limit": pair.se * math.sqrt((n - 1) / n),
    }


@case
def bootstrap_exact_n3(data):
    x = data["x"]
    means = stats.resampled_means(x)
    shares = [label(Fraction(mean).limit_denominator(1000)) for mean in means]
    return {
        f"distribution_count_of_{len(means)}": {share: shares.count(share) for share in shares},
        "boot_mean": sum(means) / len(means),
        "boot_se": spread(means),
        "sample_se": stats.se_over_problems(x),
    }


def spread(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


@case
def mcnemar_30(data):
    only_a, only_b = data["A_only"], data["B_only"]
    return {"p_exact": stats.mcnemar_exact(only_a, only_b), "diff": (only_a - only_b) / sum(data.values())}


@case
def multiple_8(data):
    adjusted = {m: stats.adjust(data["p"], m, data["alpha"]) for m in ("bonferroni", "holm", "fdr_bh", "fdr_by")}
    return {method: {"adjusted": a.p, "reject": a.reject} for method, a in adjusted.items()}


@case
def gpass(data):
    rows = []
    for row in data["rows"]:
        taus = {f"g_pass_tau_{tau}": stats.g_pass_chance(**named(row), tau=tau) for tau in (0.25, 0.5, 0.75, 1.0)}
        rows.append({**row, **taus, "mg_pass_at_k": stats.mg_pass_chance(**named(row))})
    return {"rows": rows}


@case
def majk(data):
    def cell(k, ties):
        return {"value": stats.maj_at_k(data["answers"], data["gold"], k, ties)}

    return {str(k): {ties: cell(k, ties) for ties in ("uniform", "first", "wrong")} for k in data["k"]}


@case
def rank_interval_4x12(data):
    scores, alpha = data["scores_per_problem"], data["alpha"]
    num_pairs = len(scores) * (len(scores) - 1)
    return {
        "means": {name: sum(values) / len(values) for name, values in scores.items()},
        "p_one_sided": {f"{a}>{b}": p for (a, b), p in stats.superiority(scores, None).items()},
        "rank_interval_uncorrected": stats.rank_intervals(scores, alpha, None),
        f"p_holm_{num_pairs}": {f"{a}>{b}": p for (a, b), p in stats.superiority(scores, "holm").items()},
        "rank_interval_holm": stats.rank_intervals(scores, alpha, "holm"),
    }


@case
def seeds_3x4(data):
    methods = data["tensor_method_seed_problem"]
    means = [[sum(row) / len(row) for row in method] for method in methods]
    t, p = stats.welch(*means)
    a, b = methods
    ses = [stats.se_over_problems(row) for row in means]
    columns = [[sum(column) / len(column) for column in zip(*method, strict=True)] for method in methods]
    pair = stats.paired_seeds(a, b)
    split = stats.anova_of_paired_difference(a, b)
    assert math.isclose(pair.se, split.se)
    return {
        "method_means": [sum(row) / len(row) for row in means],
        "seed_means": means,
        "seed_sd": [se * math.sqrt(len(row)) for se, row in zip(ses, means, strict=True)],
        "seed_se": ses,
        "welch_t": t,
        "welch_p": p,
        **{f"anova_method{i}": two_way(stats.anova(method)) for i, method in enumerate(methods)},
        "diff_by_problem": [x - y for x, y in zip(*columns, strict=True)],
        "diff_mean": pair.mean,
        "anova_of_paired_difference": two_way(split),
    }


def two_way(split):
    return {
        "mean": split.mean,
        "MS_seed": split.ms_seed,
        "MS_problem": split.ms_problem,
        "MS_resid": split.ms_residual,
        "var_seed": split.var_seed,
        "var_problem": split.var_problem,
        "se_two_way": split.se,
        "se_seeds_only": split.se_seeds_only,
    }


@case
def mde(data):
    sd, alpha, power = data["sd_d"], data["alpha"], data["power"]
    return {
        "z_sum": stats.minimum_detectable_difference(1.0, alpha, power),
        "mde": {str(n): stats.minimum_detectable_difference(sd / math.sqrt(n), alpha, power) for n in data["n"]},
        "n_needed_for_": lambda difference: stats.problems_needed(sd, number(difference), alpha, power),
    }


@case
def wilson_30(data):
    c, n = data["c"], data["n"]
    return {
        "wilson95": stats.proportion_interval(c, n),
        "clopper_pearson95": stats.proportion_interval(c, n, "clopper-pearson"),
        "wald95": stats.proportion_interval(c, n, "wald"),
        f"wilson95_0_of_{n}": stats.proportion_interval(0, n),
        f"wilson95_{n}_of_{n}": stats.proportion_interval(n, n),
    }


@case
def macro_micro(data):
    means, ses, sizes = ([bench[key] for bench in data.values()] for key in ("mean", "se", "n"))
    (macro, macro_se), (micro, micro_se) = stats.macro(means, ses), stats.micro(means, ses, sizes)
    return {"macro": macro, "macro_se": macro_se, "micro": micro, "micro_se": micro_se}


@case
def ragged_missing(data):
    rows = list(data["samples"].values())
    try:
        stats.correct_counts(rows, data["planned_k"])
    except stats.IncompleteSamples:
        return {"publishable": False}
    return {"publishable": True}


@case
def budget_curve(data):
    curves, budgets = data["curves_budget_score"], data["budgets"]
    at = {name: {b: stats.score_at(curve, b) for b in budgets} for name, curve in curves.items()}
    ends = {name: max(spend for spend, _ in curve) for name, curve in curves.items()}
    flags = {
        f"{name}@{b}": f"carry-forward, flagged: run ended at {ends[name]}"
        for name, row in at.items()
        for b, found in row.items()
        if found.carried_forward
    }
    return {
        "score_at": {name: {str(b): found.score for b, found in row.items()} for name, row in at.items()},
        "pareto": stats.pareto(curves),
        "extends_past_measured": flags,
        "log2auc_": lambda rest: area(curves, rest),
        "budget_to_": lambda target: {n: stats.budget_to_target(curve, number(target)) for n, curve in curves.items()},
    }


def number(text):
    return float(text.replace("_", "."))


def area(curves, rest):
    """Read NAME_LOW_HIGH; a bound may be written 1.5 or 1_5."""
    name = max((name for name in curves if rest.startswith(f"{name}_")), key=len)
    parts = rest.removeprefix(f"{name}_").split("_")
    half = len(parts) // 2
    return stats.log2_auc(curves[name], number("_".join(parts[:half])), number("_".join(parts[half:])))


@case
def noise_floor(data):
    num, p = data["P"], data["p"]
    share = Fraction(p).limit_denominator(10_000)
    many = num * share.denominator
    se = stats.se_over_problems([1.0] * (num * share.numerator) + [0.0] * (many - num * share.numerator))
    return {
        # Variance over draws of the estimator, not its estimate from one table.
        "sampling": {str(k): math.sqrt(p * (1 - p) / (num * k)) for k in data["k"]},
        # From as many problems as make the share exact, scaled to the number asked for.
        "problems": se * math.sqrt((many - 1) / (num - 1)),
    }


@case
def avg_vs_pass_order_flip(data):
    n, out = data["n"], {}
    for name in ("A", "B"):
        table = [[1] * c + [0] * (n - c) for c in data[f"{name}_correct_counts"]]
        out[name] = {f"avg{n}": stats.avg_at_k(table, n)}
        for k in range(1, n + 1):
            out[name] |= {f"pass{k}": stats.pass_at_k(table, k), f"pass_hat_{k}": stats.pass_hat_k(table, k)}
    return out


@case
def beta_superiority(data):
    a, b, n = data["cA"], data["cB"], data["n"]
    return {
        "p_superior": stats.beta_superiority(a, b, n),
        "mean_A": (a + 1) / (n + 2),
        "mean_B": (b + 1) / (n + 2),
        "ci95_A": stats.beta_interval(a, n),
    }


@case
def bootstrap_percentile_n5(data):
    means = stats.resampled_means(data["d"])
    low, high = stats.bootstrap_interval(data["d"])
    return {
        "mean": sum(data["d"]) / len(data["d"]),
        "lo95": low,
        "hi95": high,
        "share_le_0": sum(mean <= 1e-12 for mean in means) / len(means),
        "boot_se": spread(means),
    }


@case
def wilson_clustered_6x4(data):
    table = data["matrix_problem_by_sample"]
    n = len(table[0])
    return {"clustered": stats.wilson_clustered([count / n for count in stats.correct_counts(table)], n)}


@case
def degenerate_all_wrong(data):
    num, n, c = data["problems"], data["samples"], data["correct"]
    shares = [c / (num * n)] * num
    return {
        "t_interval": stats.t_interval(shares),
        f"wilson_z_n{num}": stats.proportion_interval(c / n, num),
        f"wilson_t{num - 1}_n{num}": stats.wilson_clustered(shares, n),
        f"rule_of_three_upper_n{num}": 3 / num,
    }


@case
def short_samples_denominator(data):
    generated = data["generated"]
    per_problem = Fraction(data["avg_over_generated"] * generated).limit_denominator(1000)
    whole, num = divmod(per_problem.numerator, per_problem.denominator)
    rights = [whole + (index < num) for index in range(per_problem.denominator)]
    table = [[1] * right + [0] * (generated - right) for right in rights]
    for declared in data["n_declared"]:
        try:
            found = stats.avg_at_k(table, declared)
        except stats.IncompleteSamples:
            found = "raise IncompleteSamples"
        right = data["avg_over_generated"] if declared <= generated else "raise IncompleteSamples"
        assert found == right, f"{declared} samples declared: {found}"
    return {"right": "raise IncompleteSamples"}
