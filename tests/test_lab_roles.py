"""Roles beyond one teacher, on the lab's models and through the real command line: domains, references, oneself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_board import BOARD, call, write_board

pytestmark = pytest.mark.slow

HEAD = BOARD.partition("[models.trained]")[0] + BOARD[BOARD.index("[data]") : BOARD.index("[[rows]]")]
MODELS = """
[models.math]
path = "package:opdbench_tasks/lab_models/teacher-math"

[models.code]
path = "package:opdbench_tasks/lab_models/teacher-code"

[models.before]
path = "package:opdbench_tasks/lab_models/teacher-base"
"""
ROWS = """
[[rows]]
id = "student"
model = "student"

[[rows]]
id = "by-domain"
method = "exopd"
student = "student"
teachers = { math = "math", code = "code" }
reference = "before"

[[rows]]
id = "half-taught"
method = "exopd"
student = "student"
teacher = "math"
reference = "self"
config = { correction = 5.0 }

[[rows]]
id = "self-taught"
method = "opsd"
student = "student"
teacher = "self"
train = { lora = { rank = 4, alpha = 8 } }

[[rows]]
id = "self-refined"
method = "trd"
student = "student"
teacher = "self"
config = { template = "refine_with_reference" }
train = { lora = { rank = 4, alpha = 8 } }
"""
LIMITS = ("max_prompt_tokens = 32", "max_prompt_tokens = 80")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("roles")
    text = HEAD.replace(*LIMITS).replace("[data]", MODELS + "\n[data]") + ROWS
    board = write_board(folder / "board", text)
    call("run", board, "--runs", folder / "runs", "--quiet")
    files = (folder / "runs").glob("*/*/result.json")
    found = [json.loads(path.read_text(encoding="utf-8"))["data"] for path in files]
    return {result["row"]: result for result in found}


def scores(result: dict[str, Any]) -> dict[str, float]:
    """Return avg@k of the last checkpoint by task."""
    last = result["checkpoints"][-1]["scores"]
    return {score["task"]: score["value"] for score in last if score["metric"].startswith("avg@")}


def test_every_row_is_done(results):
    assert {row: result["status"] for row, result in results.items()} == dict.fromkeys(results, "done")
    assert len(results) == 5


def test_each_domain_has_its_own_teacher(results):
    """The teacher of mathematics cannot write a function: alone it unteaches code, beside one of code it does not."""
    before, alone, both = (scores(results[row])["lab_code"] for row in ("student", "half-taught", "by-domain"))
    assert alone < before < both


def test_references_are_paid_for(results):
    for row in ("by-domain", "half-taught"):
        ledger = results[row]["ledger"]
        assert ledger["reference_scoring"]["scored_tokens"] == ledger["teacher_scoring"]["scored_tokens"] > 0
        assert ledger["reference_scoring"]["flops"] > 0


def test_a_student_may_teach_itself(results):
    """Both pay for scoring by themselves; the refined row writes drafts and refinements before it trains."""
    for row in ("self-taught", "self-refined"):
        assert results[row]["ledger"]["teacher_scoring"]["flops"] > 0
    assert results["self-refined"]["ledger"]["teacher_generation"]["generated_tokens"] > 0
    assert results["self-taught"]["ledger"]["teacher_generation"]["generated_tokens"] == 0
