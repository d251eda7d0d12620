"""``opdbench init`` and ``opdbench plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opdbench.cli import options, text

if TYPE_CHECKING:
    from opdbench.verbs.planning import CellPlan, PlanReport

INIT_EXAMPLES = options.examples("opdbench init myboard", "opdbench plan myboard")
PLAN_EXAMPLES = options.examples(
    "opdbench plan leaderboards/lab",
    "opdbench plan leaderboards/lab --set budget.limit=1e12 --set rows.ROW.train.learning_rate=1e-4",
    "opdbench plan leaderboards/lab --json | jq .counts",
)


def init(
    directory: Annotated[Path, typer.Argument(help="Directory to write board.toml into.", show_default=False)],
    template: Annotated[str, typer.Option("--from", metavar="NAME", help="Template to start from.")] = "lab",
) -> None:
    """Write a board to start from; nothing is overwritten."""
    from opdbench.verbs import boards

    file = boards.init(directory, template)
    text.out(text.line(str(file)))
    text.note(f"edit it, then: opdbench plan {directory}")


def plan(
    board: options.Board,
    set_: options.Overrides = None,
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List all cells of a board: state, reason, and estimated cost. No GPU, no network, nothing is written."""
    from opdbench.verbs import planning

    report = planning.plan(board, overrides=set_ or (), runs=runs)
    if as_json:
        text.out_json(report.to_json())
    else:
        _show(report)


def _show(report: PlanReport) -> None:
    header = ("row", "seed", "state", "trainer", "GPU-hours", "FLOPs", "tokens", "batches", "eval tokens", "reason")
    numbers = ("seed", "GPU-hours", "FLOPs", "tokens", "batches", "eval tokens")
    text.out_table(header, [_row(cell) for cell in report.cells], numbers)
    left, counts = report.to_compute, report.counts()
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    text.out(f"\n{text.line(report.board)}: {len(report.cells)} cells: {states}")
    hours = f", {left.gpu_hours:,.4g} GPU-hours" if left.gpu_hours else ""
    text.out(
        f"still to compute: about {text.amount(left.flops)} FLOPs and {text.amount(left.tokens)} tokens of training"
        f"{hours}; at most {text.amount(left.evaluation_samples)} samples with {text.amount(left.evaluation_tokens)} "
        "tokens of evaluation"
    )


def _row(cell: CellPlan) -> tuple[object, ...]:
    cost = cell.estimate
    amounts = (cost.gpu_hours, cost.flops, cost.tokens, cost.batches, cost.evaluation_tokens)
    what = cell.method or cell.trainer
    return (cell.row, cell.seed, cell.state, what, *map(text.amount, amounts), cell.reason)
