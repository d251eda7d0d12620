"""Run the lab board through the real command line, reduced: four rows, one seed, a quarter of the budget.

``python tests/reduced_lab.py [--jobs N]``. Ends with an error unless OPD comes out above its student and every
trained row's spend follows from its step log within 2 % of the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from opdbench.budget import Budget, StepRecord, replay, spread
from opdbench.config import load_board
from opdbench.records import Result, result_from_json
from opdbench.runner.cell import macro_average
from opdbench.store import RecordLog

BOARD = Path(__file__).parents[1] / "leaderboards" / "lab" / "board.toml"
ROWS = ("student", "teacher", "sft", "opd")


def reduced_board(directory: Path) -> Path:
    """Write the board with its four rows alone: in a quarter of the budget, groups of eight would be too dear."""
    head, *rows = BOARD.read_text(encoding="utf-8").split("[[rows]]")
    kept = [row for row in rows if any(f'\nid = "{id}"\n' in row for id in ROWS)]
    assert len(kept) == len(ROWS)
    file = directory / "board.toml"
    file.write_text("[[rows]]".join([head.partition("[tuning]")[0], *kept]), encoding="utf-8")
    return file


def run(folder: Path, jobs: int) -> dict[str, tuple[Result, Path]]:
    """Run the rows and return their results and directories."""
    file, runs = reduced_board(folder), folder / "runs"
    board = load_board(file)
    assert board.train is not None
    reduced = [f"budget.limit={board.budget.limit / 4}", f"train.prompts_per_step={board.train.prompts_per_step // 4}"]
    options = [part for override in reduced for part in ("--set", override)]
    command = [sys.executable, "-m", "opdbench", "run", str(file), "--runs", str(runs), "--seed", "0"]
    subprocess.run([*command, "--jobs", str(jobs), *options], check=True)
    found: dict[str, tuple[Result, Path]] = {}
    for path in runs.glob("*/*/result.json"):
        data: Any = json.loads(path.read_text(encoding="utf-8"))["data"]
        found[data["row"]] = result_from_json(data), path.parent
    return found


def recomputed_spend(result: Result, directory: Path) -> float:
    """Return a trained row's spend, recomputed from its step log alone."""
    log = RecordLog(directory / "training" / "steps.jsonl", read_only=True)
    budget = Budget(result.budget["axis"], result.budget["limit"], result.budget["mode"])
    return replay(budget, [StepRecord.from_json(record["spend"]) for record in log]).spend()


def main() -> int:
    """Check what the reduced board must show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), parser.parse_args().jobs)
        scores = {row: macro_average(result.checkpoints[-1]) or 0.0 for row, (result, _) in found.items()}
        spends = [recomputed_spend(*found[row]) for row in ("sft", "opd")]
    print("  ".join(f"{row} {score:.3f}" for row, score in sorted(scores.items())))
    print(f"spend {' '.join(f'{spend:.6g}' for spend in spends)}, spread {spread(spends):.4f}")
    checks = {
        "OPD above the student": scores["opd"] > scores["student"],
        "teacher above OPD": scores["teacher"] > scores["opd"],
        "equal spend": spread(spends) <= 0.02,
    }
    for name, holds in checks.items():
        print(f"{'ok' if holds else 'FAILED'}: {name}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
