"""Real problems, which are never committed: canonical solutions are right, and mutants fare as in evalplus."""

from __future__ import annotations

import ast
import gzip
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from mutants import mutants

from opdbench.graders.evalplus import EvalPlus
from opdbench.graders.evalplus_inputs import typed_arguments
from opdbench.records import Problem, Sample
from opdbench_tasks import evalplus as tasks

REAL = os.environ.get("OPDBENCH_DATA", "")
HEAVY = {255, 599, 392, 123, 271}
"""Problems whose canonical solutions take seconds."""

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL, reason="OPDBENCH_DATA is not set"),
]


def mbpp() -> list[dict]:
    path = Path(REAL) / "MbppPlus.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [tasks.MBPP_PLUS.source.plain(row) for row in rows]


def humaneval() -> list[dict]:
    """Return HumanEval's problems with those inputs of its base tests that are written out."""
    path = Path(REAL) / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = [{**row, "base_input": list(written_inputs(row["test"])), "plus_input": [], "atol": 0} for row in rows]
    return [tasks.HUMANEVAL.source.plain(row) for row in found if row["base_input"]]


def written_inputs(test: str) -> Iterator[list]:
    for node in ast.walk(ast.parse(test)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "candidate":
            try:
                yield [ast.literal_eval(argument) for argument in node.args]
            except ValueError:
                continue


def refused(rows: list[dict], grader: EvalPlus) -> list[tuple[str, str]]:
    problems = [tasks.HUMANEVAL.problem(row) for row in rows]
    samples = [(item, Sample("t", item.id, 0, 0, grader.gold(item), 1, "stop")) for item in problems]
    return [(grade.problem_id, grade.reason) for grade in grader.grade(samples) if grade.verdict != "correct"]


def test_canonical_solutions_of_mbpp_plus_are_right() -> None:
    rows = mbpp()
    assert len(rows) == 378
    assert refused(rows, EvalPlus()) == []


def test_canonical_solutions_of_humaneval_are_right() -> None:
    rows = humaneval()
    assert len(rows) > 150
    assert refused(rows, EvalPlus(has_plus=False)) == []


def test_arguments_are_typed_as_in_evalplus() -> None:
    theirs = pytest.importorskip("evalplus.data.mbpp")
    for row in mbpp():
        target = row["answer"]
        for name in ("base_input", "plus_input"):
            ours = [typed_arguments("mbpp", target["number"], given) for given in target[name]]
            wanted = [list(given) for given in theirs.mbpp_deserialize_inputs(str(target["number"]), target[name])]
            if target["number"] in (124, 252):
                ours = [[complex(one) if isinstance(one, str) else one for one in given] for given in ours]
            assert repr(ours) == repr(wanted), row["id"]


def test_mutants_fare_as_in_evalplus() -> None:
    evaluation = pytest.importorskip("evalplus.eval")
    differing = []
    for row in [row for row in mbpp() if row["answer"]["number"] not in HEAVY][::12]:
        problem = Problem(row["id"], "", row["answer"])
        codes = list(islice(mutants(row["answer"]["canonical_solution"]), 8))
        items = [
            (problem, Sample("t", row["id"], i, 0, f"```\n{code}\n```", 1, "stop")) for i, code in enumerate(codes)
        ]
        for grade, code in zip(EvalPlus().grade(items), codes, strict=True):
            theirs = verdict_of_evalplus(evaluation, row["answer"], code)
            if (grade.verdict == "correct") != theirs:
                differing.append((row["id"], grade.reason, code))
    assert differing == []


def verdict_of_evalplus(evaluation, target: dict, code: str) -> bool:
    from evalplus.gen.util import trusted_exec

    for name in ("base_input", "plus_input"):
        calls = [typed_arguments("mbpp", target["number"], given) for given in target[name]]
        if target["number"] in (124, 252):
            calls = [[complex(one) if isinstance(one, str) else one for one in given] for given in calls]
        whether = target["entry_point"] in evaluation.MBPP_OUTPUT_NOT_NONE_TASKS
        source = target["prompt"] + target["canonical_solution"]
        wanted = trusted_exec(source, calls, target["entry_point"], output_not_none=whether)
        times = [1.0] * len(calls)
        status, _ = evaluation.untrusted_check(
            "mbpp", code, calls, target["entry_point"], wanted, target["atol"], times, fast_check=True
        )
        if status != "pass":
            return False
    return True
