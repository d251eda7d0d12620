"""A board of lab models that runs through the real command line in seconds, and what to compare of two runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BOARD = """
schema = 1
name = "small"
title = "Small"
protocol = "lab/1"
seeds = [0]

[budget]
axis = "flops"
limit = 3e10
mode = "as-published"

[models.student]
path = "package:opdbench_tasks/lab_models/student"

[models.teacher]
path = "package:opdbench_tasks/lab_models/teacher"

[models.trained]
path = "cell:opd"

[data]
train = ["lab_add", "lab_code"]

[train]
learning_rate = 5e-4
prompts_per_step = 16
max_prompt_tokens = 32
max_tokens = 48

[evaluation]
tasks = ["lab_add", "lab_code"]
pool = "validation"
k = 2
checkpoint_k = 1
pass_k = [2]
max_tokens = 48
batch_size = 32
engine = "hf"
dtype = "float32"

[comparison]
baseline = "student"

[[rows]]
id = "student"
title = "Student"
model = "student"

[[rows]]
id = "opd"
method = "opd"
student = "student"
teacher = "teacher"

[[rows]]
id = "sft"
method = "sft"
student = "student"
teacher = "teacher"

[[rows]]
id = "opd-twice"
title = "FKL after OPD"
method = "fkl"
student = "trained"
teacher = "teacher"
"""


def write_board(directory: Path, text: str = BOARD) -> Path:
    """Write the board and return its directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "board.toml").write_text(text)
    return directory


def command(*arguments: object) -> list[str]:
    """Return the command line of one verb."""
    return [sys.executable, "-m", "opdbench", *map(str, arguments)]


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a verb in a process of its own."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(*arguments), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def call(*arguments: object, expect: int = 0) -> str:
    """Run a verb to its end and return what it says, data alone with --json; the exit code must be as expected."""
    process = start(*arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == expect, f"exit {process.returncode}\n{out}\n{err}"
    return out if "--json" in arguments else out + err


def without_time(value: Any) -> Any:
    """Return JSON data without any figure of the clock."""
    if isinstance(value, dict):
        return {key: without_time(item) for key, item in value.items() if key != "timing"}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def fingerprint(board: Path, runs: Path) -> dict[str, Any]:
    """Return everything of a run that may not depend on when it was computed."""
    call("publish", board, "--add", "--runs", runs)
    found: dict[str, Any] = {"README.md": (board / "README.md").read_text()}
    for cell in sorted(path.parent for path in runs.glob("*/*/result.json")):
        found[cell.name] = {
            "result": without_time(json.loads((cell / "result.json").read_text())["data"]),
            "samples": (cell / "samples.parquet").read_bytes(),
            "grades": (cell / "grades.parquet").read_bytes(),
        }
    return found
