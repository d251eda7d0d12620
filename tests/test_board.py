"""Boards: golden Markdown, missing evidence, multiplicity, foreign text, CSV, publication, agreement of two runs."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from make_results import LIMIT, SEEDS, TASKS, K, make_board, make_checkpoint, make_result, make_results

from opdbench import board as boards
from opdbench.board import agreement, compare, escape, figures
from opdbench.board.publish import rendered
from opdbench.errors import DataError
from opdbench.records import Result

GOLDEN = Path(__file__).parent / "golden" / "board.md"
FOREIGN = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "[click](javascript:alert(1))",
    "![pixel](https://evil.example/x.png)",
    "a | b | c\n| d |",
    "`code` **bold** _em_ ~~gone~~ $x$",
    "# heading\n- item\n1. item",
    "@everyone #123 https://evil.example www.evil.example",
    "<!-- comment --> --> ]]> {{ 7 * 7 }} {% raw %}",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b31m",
    "safe\u202eevil\u2066x\u200b\ufeff\u2028y",
    '=HYPERLINK("https://evil.example")',
)


def table_of(results: list[Result], **changes: object) -> boards.Table:
    return boards.build_table(make_board(**changes), results)


@cache
def whole() -> boards.Table:
    """The table of a board with every result."""
    return table_of(make_results())


def hard_results() -> list[Result]:
    """A board as it looks in real life: a missing seed, a diverged seed, an overrun, an untrained checkpoint."""
    results = [run for run in make_results() if (run.row, run.seed) != ("sft", 2)]
    changed = {
        ("fkl", 1): {"status": "diverged", "error": "loss is nan at step 7"},
        ("opd", 0): {
            "marks": ("self-reported ledger",),
            "checkpoints": tuple(
                replace(make_checkpoint("opd", 0, f), step=0 if f == 0.25 else 9) for f in (0.25, 0.5, 0.75, 1.0)
            ),
        },
    }
    return [replace(run, **changed.get((run.row, run.seed), {})) for run in results]


# --------------------------------------------------------------------------------------------------- the table


def test_golden_markdown() -> None:
    text = boards.render_markdown(table_of(hard_results()))
    if os.environ.get("OPDBENCH_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_bytes_do_not_depend_on_order_or_time() -> None:
    results = hard_results()
    shuffled = [replace(run, timing={"wall_seconds": random.random()}) for run in results]
    random.Random(3).shuffle(shuffled)
    board = make_board()
    one, other = (rendered(board, runs, Path()) for runs in (results, shuffled))
    assert one[Path("README.md")] == other[Path("README.md")]
    assert one[Path("results.csv")] == other[Path("results.csv")]
    again = rendered(board, list(reversed(results)), Path())
    assert one == again


def test_missing_row_is_dashes() -> None:
    table = table_of([run for run in make_results() if run.row != "sft"])
    row = table.row("sft")
    assert (row.state, row.seeds, row.macro, row.ranks, row.difference) == ("missing", "0/3", None, None, None)
    line = next(line for line in boards.render_markdown(table).splitlines() if "| SFT" in line)
    assert line.count(figures.DASH) >= 6
    assert table.rows[-1].id == "sft"


def test_two_of_three_seeds_have_no_score() -> None:
    table = table_of([run for run in make_results() if (run.row, run.seed) != ("opd", 1)])
    row = table.row("opd")
    assert (row.state, row.seeds, row.macro, row.ranks) == ("partial", "2/3", None, None)
    assert "no result yet for seed 1" in row.notes
    assert table.row("fkl").ranks == (1, 1)
    assert table.num_tests == 2


@pytest.mark.parametrize("break_it", ["samples", "problems", "task", "ungraded"])
def test_incomplete_cell_is_partial(break_it: str) -> None:
    last = make_checkpoint("opd", 1, 1.0)
    alpha = dict(last.correct["alpha"])
    broken = {
        "samples": replace(last, samples={**last.samples, "alpha": K - 1}),
        "problems": replace(last, correct={**last.correct, "alpha": dict(list(alpha.items())[1:])}),
        "task": replace(last, correct={"beta": last.correct["beta"]}),
        "ungraded": replace(last, scores=tuple(replace(score, num_ungraded=1) for score in last.scores)),
    }[break_it]
    runs = [replace(run, checkpoints=(broken,)) if (run.row, run.seed) == ("opd", 1) else run for run in make_results()]
    row = table_of(runs).row("opd")
    assert (row.state, row.seeds, row.macro) == ("partial", "2/3", None)
    assert "alpha" not in row.tasks
    assert any(note.startswith("seed 1 is incomplete on alpha") for note in row.notes)
    assert ("beta" in row.tasks) == (break_it != "ungraded")


def test_diverged_and_failed_rows_keep_their_spend() -> None:
    failed = make_result("sft", 0, status="failed", checkpoints=(), error="out of memory")
    table = table_of([*[run for run in hard_results() if run.row != "sft"], failed])
    assert (table.row("fkl").state, table.row("fkl").macro) == ("diverged", None)
    assert (table.row("sft").state, table.row("sft").spend.mean) == ("failed", LIMIT - 1e9)
    text = boards.render_markdown(table)
    assert "loss is nan at step 7" in text
    assert "out of memory" in text


def test_over_budget_is_flagged_and_not_equal() -> None:
    runs = make_results()
    ledger = {name: dict(line) for name, line in runs[-1].ledger.items()}
    ledger["update"]["flops"] += 10**11
    table = table_of([*runs[:-1], replace(runs[-1], ledger=ledger)])
    assert "over budget" in table.row("sft").notes
    assert not table.equality.is_equal
    text = boards.render_markdown(table)
    assert "not equal budgets" in text
    assert "(over)" not in text.split("Against the budget")[0]


def test_equal_budgets_are_said_to_be() -> None:
    table = whole()
    assert table.equality.is_equal
    assert 1.0 < table.equality.ratio < 1.01
    assert "equal budgets." in boards.render_markdown(table)


def test_accountings_leave_the_teacher_out() -> None:
    spend = whole().row("opd").spend
    assert spend.accountings["flops"]["all"] == spend.accountings["flops"]["teacher_generation_free"] == spend.mean
    assert spend.accountings["flops"]["teacher_free"] == spend.mean - 1e11
    assert spend.accountings["tokens"]["all"] == 90_000


def test_training_free_row_is_exempt() -> None:
    runs = [replace(run, ledger={}) if run.row == "sft" else run for run in make_results()]
    table = table_of(runs)
    assert table.equality.is_equal
    assert any(note.startswith("training-free") for note in table.row("sft").notes)


def test_untrained_checkpoint_is_marked() -> None:
    table = table_of(hard_results())
    assert table.row("opd").anytime[0].untrained_seeds == (0,)
    assert "†" in boards.render_markdown(table)
    assert "†" not in boards.render_markdown(whole())


def test_own_settings_of_a_row_are_noted() -> None:
    rows = [row.model_dump() for row in make_board().rows]
    rows[2] |= {"train": {"learning_rate": 1e-4}, "config": {"discount": 0.9}}
    notes = table_of(make_results(), rows=rows).row("opd").notes
    assert "own training: learning_rate = 0.0001" in notes
    assert "own config: discount = 0.9" in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [({"board": "other"}, "not of this board"), ({"row": "grpo"}, "not of this board"), ({"seed": 9}, "not of this")],
)
def test_foreign_results_are_refused(change: dict[str, object], message: str) -> None:
    runs = make_results()
    with pytest.raises(DataError, match=message):
        table_of([*runs, replace(runs[-1], **change)])


def test_doubled_results_and_mixed_versions_are_refused() -> None:
    runs = make_results()
    with pytest.raises(DataError, match="twice"):
        table_of([*runs, runs[0]])
    old = tuple(replace(item, scores=(replace(item.scores[0], task_version=2),)) for item in runs[0].checkpoints)
    with pytest.raises(DataError, match="versions"):
        table_of([replace(runs[0], checkpoints=old), *runs[1:]])


# ----------------------------------------------------------------------------------------------- the statistics


def test_macro_table_is_the_macro_average() -> None:
    rng = np.random.default_rng(0)
    tables = [rng.random((3, 4)), rng.random((3, 40)), rng.random((3, 9))]
    joined = compare.macro(tables)
    assert joined.mean() == pytest.approx(np.mean([table.mean() for table in tables]))
    per_problem = [np.var(table.mean(axis=0), ddof=1) / table.shape[1] for table in tables]
    honest = np.sqrt(sum(per_problem)) / 3
    assert compare.estimate(joined).se == pytest.approx(honest)
    other = [rng.random(table.shape) for table in tables]
    differences = compare.macro([a - b for a, b in zip(tables, other, strict=True)])
    assert joined - compare.macro(other) == pytest.approx(differences)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_degenerate_interval_has_width(value: float) -> None:
    estimate = compare.estimate(np.full((3, 30), value))
    assert estimate.se is None
    assert estimate.high - estimate.low > 0.1
    assert 0 <= estimate.low <= value <= estimate.high <= 1


def test_no_error_of_zero_is_ever_printed() -> None:
    assert figures.error(0.00001) == "0.001"
    assert figures.error(0.0) == figures.DASH
    assert figures.points(-0.00001) == "0.0"
    assert figures.probability(0.0) == "<0.001"
    text = boards.render_markdown(whole())
    assert "± 0.0 " not in text
    assert "-0.0" not in text


def test_bold_is_significant_after_holm() -> None:
    table = whole()
    differences = {row.id: row.difference for row in table.rows if row.is_trained}
    raw = sorted(item.p for item in differences.values())
    holm = [max(min(1.0, (3 - i) * raw[i]) for i in range(j + 1)) for j in range(3)]
    assert sorted(item.p_holm for item in differences.values()) == pytest.approx(holm)
    assert table.row("teacher").difference.p_holm is None
    lines = [line for line in boards.render_markdown(table).splitlines() if line.startswith("| ")]
    bold = {name for name in ("OPD", "FKL", "SFT", "Teacher") if any(f"| {name} |" in x and "**" in x for x in lines)}
    assert bold == {"OPD", "FKL"}


def test_ranks_are_intervals_of_trained_rows() -> None:
    table = whole()
    assert [row.ranks for row in table.rows] == [None, None, (1, 2), (1, 2), (3, 3)]


def test_identical_rows_tie_without_a_test() -> None:
    runs = make_results()
    opd = {run.seed: run for run in runs if run.row == "opd"}
    runs = [replace(run, checkpoints=opd[run.seed].checkpoints) if run.row == "fkl" else run for run in runs]
    table = table_of(runs, comparison={"baseline": "opd"})
    assert table.row("fkl").difference == compare.Difference(0.0, None, None, None, None)
    assert table.row("fkl").ranks == table.row("opd").ranks == (1, 2)
    assert "± –" not in boards.render_markdown(table)


def test_variance_parts_add_up() -> None:
    table = whole()
    for row in (row for row in table.rows if row.is_trained):
        assert row.variance.problems > 0
        assert row.variance.sampling > 0
        total = row.variance.seeds**2 + row.variance.problems**2 + row.variance.sampling**2
        assert total >= row.macro.se**2 * 0.5
    assert table.row("student").variance.seeds is None


def test_pass_at_k_needs_k_samples() -> None:
    table = table_of(make_results(), evaluation=make_board().evaluation.model_copy(update={"pass_k": (1, 8, 16)}))
    row = table.row("opd")
    assert row.macro_pass[1] == pytest.approx(row.macro.value)
    assert row.macro_pass[8] > row.macro_pass[1]
    assert row.macro_pass[16] is None


# ---------------------------------------------------------------------------------------------- text of others


class Elements(HTMLParser):
    """Counts elements and the values of attributes that could act."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acts: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.acts += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "style")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def elements_of(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


@cache
def hostile(text: str) -> tuple[boards.Table, list[Result]]:
    """The hard board with a text of others wherever there can be one."""
    rows = [row.model_dump() | {"title": text, "config": {text: text}} for row in make_board().rows]
    runs = [
        replace(run, marks=(text,), error=text, provenance={"cpu": text}, key=text, training={text: 1.0})
        for run in hard_results()
    ]
    return table_of(runs, title=text, description=text, protocol=text, rows=rows), runs


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_text_adds_no_element_to_the_page(text: str) -> None:
    page, reference = (elements_of(boards.render_html(*hostile(item))) for item in (text, "harmless"))
    assert page.tags == reference.tags
    assert not page.acts
    assert {"script", "img", "iframe", "a", "form", "link"}.isdisjoint(page.tags)
    assert ("{{ 7 * 7 }}" in "".join(page.text)) == ("{{ 7 * 7 }}" in text)


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_text_adds_nothing_to_markdown(text: str) -> None:
    table, _ = hostile(text)
    harmless, _ = hostile("harmless")
    lines, reference = (boards.render_markdown(item).splitlines() for item in (table, harmless))
    assert len(lines) == len(reference)
    for line, plain in zip(lines, reference, strict=True):
        assert line.count("|") == plain.count("|")
        assert (line[:2] == "# ") == (plain[:2] == "# ")
    body = re.sub(r"`[^`\n]*`", "", "\n".join(lines[1:]))
    assert not re.search(r"(?<!\\)\]\(", body)
    for active in ("<script", "<img", "<svg", "\x1b", "\u202e", "\u200b", "\x9b"):
        assert active not in body
    assert "@everyone" not in body
    assert "https:" not in body
    assert "www." not in body


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_text_is_one_plain_line_in_a_terminal(text: str) -> None:
    table, _ = hostile(text)
    lines = boards.render_lines(table)
    assert len(lines) == len(boards.render_lines(hostile("harmless")[0]))
    assert all(char.isprintable() for line in lines for char in line)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", " =1", "\x1b[0m=1"])
def test_csv_holds_no_formula(text: str) -> None:
    rows = [row.model_dump() | {"title": text} for row in make_board().rows]
    records = list(csv.reader(io.StringIO(boards.export_csv(table_of(make_results(), rows=rows)))))
    assert all(record[1].startswith("'") for record in records[1:])
    assert records[0][0] == "row"
    assert float(records[1][records[0].index("macro_avg")]) < 1


def test_page_is_closed_to_the_network() -> None:
    page = boards.render_html(whole(), make_results())
    assert "default-src 'none'" in page
    assert "unsafe-inline" not in page
    assert not elements_of(page).acts
    assert "http" not in page.replace("http-equiv", "")


def test_no_machine_in_what_is_published() -> None:
    files = rendered(make_board(), make_results(), Path())
    for path in (Path("README.md"), Path("report.html"), Path("results.csv")):
        assert "secret-host" not in files[path]


def test_errors_lose_the_folders_of_their_machine() -> None:
    error = "worker ended; see /home/someone/runs/lab/worker.log or C:\\Users\\me\\x.txt, half/way is kept\nTraceback"
    runs = [replace(run, status="failed", error=error) if run.row == "sft" else run for run in make_results()]
    note = table_of(runs).row("sft").notes[0]
    assert (
        note == "seed 0 failed (worker ended; see worker.log or x.txt, half/way is kept); its spend stays on the board"
    )


def test_time_is_only_where_it_belongs() -> None:
    runs = [replace(run, timing={"device_seconds": {"update": 98765.4}}) for run in make_results()]
    files = {path.name: text for path, text in rendered(make_board(), runs, Path()).items()}
    assert "98,765.4" in files["report.html"]
    assert "98765" not in files["README.md"] + files["results.csv"]
    assert "98765" not in json.dumps(json.loads(files["results.json"])["table"])


def test_escapes() -> None:
    assert escape.plain("a\x1b[2Jb\r\nc\u202ed") == "ab cd"
    assert escape.markdown("a|b_c*") == "a&#124;b\\_c\\*"
    assert escape.markdown("1. x") == "1\\. x"
    assert escape.markdown("6.0e11") == "6.0e11"
    assert escape.code("a`b|c") == "`a'b¦c`"
    assert escape.shell("run", "a b;rm") == "run 'a b;rm'"
    assert len(escape.plain("x" * 9999)) == 300


# ------------------------------------------------------------------------------------------------- publication


def test_publish_check_and_stale(tmp_path: Path) -> None:
    board, folder = make_board(), tmp_path / "results"
    added = boards.add(board, make_results(), folder, keys={("opd", 0): "another", ("opd", 1): "opd1".ljust(16, "0")})
    assert len(added.written) == len(make_results())
    assert [line.split(":")[0] for line in added.stale] == ["opd seed 0"]
    names = {"README.md", "report.html", "results.json", "results.csv"}
    assert {path.name for path in boards.publish(board, folder, check=True)} == names
    assert not (tmp_path / "README.md").exists()
    assert {path.name for path in boards.publish(board, folder)} == names
    assert boards.publish(board, folder, check=True) == []
    (tmp_path / "README.md").write_text("edited")
    assert [path.name for path in boards.publish(board, folder, check=True)] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "edited"


def test_results_survive_the_disk(tmp_path: Path) -> None:
    boards.add(make_board(), make_results(), tmp_path)
    again = sorted(boards.load_results(tmp_path), key=lambda run: (run.row, run.seed))
    assert again == sorted(make_results(), key=lambda run: (run.row, run.seed))


@pytest.mark.parametrize("mark", ["scripted", "stand-in", "stand-in model", "Scripted engine"])
def test_stand_ins_are_never_published(tmp_path: Path, mark: str) -> None:
    runs = [replace(make_result("opd", 0), marks=(mark,)), make_result("student", 0)]
    with pytest.raises(DataError, match="never published"):
        boards.add(make_board(), runs, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="never published"):
        rendered(make_board(), runs, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}', '{"schema": 1}', "\xff"])
def test_damaged_results_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "opd-seed0.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"opd-seed0\.json"):
        boards.load_results(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("{}")
    (tmp_path / "opd-seed0.json").symlink_to(tmp_path / "target")
    with pytest.raises(DataError, match="not a link"):
        boards.load_results(tmp_path)


def test_an_empty_board_renders(tmp_path: Path) -> None:
    files = rendered(make_board(), [], tmp_path)
    assert all(text for text in files.values())
    assert "0/3" in files[tmp_path / "README.md"]


def test_table_as_data_frame() -> None:
    frame = whole().to_frame()
    assert list(frame.index) == ["student", "teacher", "opd", "fkl", "sft"]
    assert frame.loc["opd", f"alpha_avg@{K}"] == pytest.approx(whole().row("opd").tasks["alpha"].avg.value)


# --------------------------------------------------------------------------------------------------- agreement


def shifted(run: Result, by: int, tasks: tuple[str, ...] = tuple(TASKS)) -> Result:
    """The run with every count moved, within bounds."""
    last = run.checkpoints[-1]
    correct = {
        task: {name: min(K, max(0, count + by if task in tasks else count)) for name, count in counts.items()}
        for task, counts in last.correct.items()
    }
    return replace(run, checkpoints=(*run.checkpoints[:-1], replace(last, correct=correct)))


def verdicts(fresh: list[Result]) -> dict[tuple[str, str], str]:
    return {(item.row, item.task): item.verdict for item in boards.compare_results(make_results(), fresh)}


def test_same_results_are_identical() -> None:
    found = verdicts(make_results())
    assert set(found.values()) == {"identical"}
    assert len(found) == 5 * len(TASKS)


def test_other_draws_are_noise_and_shifts_are_not() -> None:
    fresh = [shifted(run, 3, ("beta",)) if run.row == "opd" else run for run in make_results() if run.row != "fkl"]
    found = verdicts(fresh)
    assert found["opd", "beta"] == "differs"
    assert found["opd", "alpha"] == "identical"
    assert found["fkl", "alpha"] == "not compared"
    redrawn = [
        replace(run, checkpoints=tuple(make_checkpoint(run.row, run.seed + 100, i.fraction) for i in run.checkpoints))
        for run in make_results()
    ]
    assert set(verdicts(redrawn).values()) == {"within noise"}


def test_agreement_lines() -> None:
    lines = [item.line() for item in boards.compare_results(make_results(), make_results(seeds=SEEDS[:2]))]
    assert lines[0].split() == ["fkl", "alpha", "identical"]
    assert agreement.Agreement("a", "b", "not compared", None, "why").line().endswith("why")


# ------------------------------------------------------------------------------------------------ in a browser


@pytest.mark.system
def test_page_renders_in_a_browser(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium; `make system-deps` installs it")
        pytest.skip("no chromium; `make system-deps` installs it")
    page = tmp_path / "report.html"
    page.write_text(boards.render_html(table_of(hard_results()), hard_results()), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [chromium, *flags.split(), "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    seen = elements_of(done.stdout)
    assert {"svg", "table", "circle", "path"} <= set(seen.tags)
    assert "Small board" in "".join(seen.text)
