"""Print what a board's runs logged, as Markdown: ``python docs/diagnostics.py leaderboards/lab [--runs DIR]``.

One line per trained row: means over training seeds of some metrics of docs/metrics.md, in the first and in the last
tenth of the budget. It reads the step logs of finished cells, which stay on the machine that ran them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from opdbench.config import load_board
from opdbench.plan import make_plan
from opdbench.store import RecordLog, RunStore

METRICS = (
    "reward",
    "reverse_kl",
    "entropy/student",
    "entropy/teacher",
    "mean_tokens",
    "truncated",
    "repetition",
    "teacher_tokens",
    "all_equal",
    "diagnose/forward_kl/pass",
    "diagnose/forward_kl/fail",
    "diagnose/perplexity_gap",
    "diagnose/pass_rate/raw",
    "diagnose/pass_rate/refined",
)
TENTH = 0.1

Steps = Sequence[Mapping[str, float | None]]


def metrics_of(directory: Path) -> Steps:
    """Return the logged metrics of one cell, step by step."""
    log = RecordLog(directory / "training" / "steps.jsonl", read_only=True)
    return [record["metrics"] for record in log if record["metrics"]]


def mean(steps: Iterable[Mapping[str, float | None]], name: str) -> float | None:
    """Return the mean of a metric over the steps that have it."""
    values = [value for step in steps if (value := step.get(name)) is not None]
    return math.fsum(values) / len(values) if values else None


def line(cells: Sequence[Steps], names: Sequence[str]) -> list[str]:
    """Return a row's figures: first tenth, an arrow, last tenth."""
    first = [step for steps in cells for step in steps if (step["progress"] or 0) < TENTH]
    last = [step for steps in cells for step in steps if (step["progress"] or 0) >= 1 - TENTH]
    pairs = [(mean(first, name), mean(last, name)) for name in names]
    return ["–" if early is None or late is None else f"{early:.2f} → {late:.2f}" for early, late in pairs]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    board = load_board(arguments.board)
    store, plan = RunStore(arguments.runs / board.name), make_plan(board)
    states, found = plan.status(store), defaultdict[str, list[Steps]](list)
    for cell in plan.cells:
        if cell.budget.limit and states[cell.row, cell.seed] == "done" and cell.method:
            found[cell.row].append(metrics_of(store.cell(cell.key).directory))
    names = [
        name for name in METRICS if any(mean(steps, name) is not None for cells in found.values() for steps in cells)
    ]
    print("| row | " + " | ".join(f"`{name}`" for name in names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row, cells in found.items():
        print(f"| {row} | " + " | ".join(line(cells, names)) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
