"""Grades a file of golden cases: ``python tests/golden_grading.py FILE``.

FILE holds ``cases`` (the strict verdict on ``completion`` against ``gold``) and ``real_gold_variants`` (the verdict on
a boxed ``prediction`` against ``gold``). Failures are printed; the exit code is 1 if there is one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from opdbench.graders.boxed import BoxedExpression
from opdbench.records import Grade, Problem, Sample


def item(case_id: str, gold: str, text: str) -> tuple[Problem, Sample]:
    problem = Problem(id=case_id, prompt="", target=gold)
    return problem, Sample("golden", case_id, 0, 0, text, 0, "stop")


def read(data: dict[str, Any]) -> tuple[list[tuple[Problem, Sample]], list[bool], int]:
    """Return items, expected verdicts, and the number of cases that state no expectation."""
    items: list[tuple[Problem, Sample]] = []
    expected: list[bool] = []
    skipped = 0
    for case in data.get("cases", []):
        if not isinstance(case.get("expected_strict_last_box"), bool):
            skipped += 1
            continue
        items.append(item(case["id"], case["gold"], case["completion"]))
        expected.append(case["expected_strict_last_box"])
    for case in data.get("real_gold_variants", []):
        if not isinstance(case.get("expected"), bool):
            skipped += 1
            continue
        items.append(item(case["id"], case["gold"], rf"\boxed{{{case['prediction']}}}"))
        expected.append(case["expected"])
    return items, expected, skipped


def explain(pair: tuple[Problem, Sample], grade: Grade, expected: bool) -> str:
    problem, sample = pair
    wanted = "correct" if expected else "wrong"
    return f"{problem.id}: {wanted} expected, got {grade.verdict} ({grade.reason}): {problem.target!r} {sample.text!r}"


def main(path: str) -> int:
    items, expected, skipped = read(json.loads(Path(path).read_text()))
    grades = BoxedExpression().grade(items)
    failures = [
        explain(pair, grade, want)
        for pair, grade, want in zip(items, grades, expected, strict=True)
        if grade.verdict != ("correct" if want else "wrong")
    ]
    for failure in failures:
        print(failure)
    print(f"{len(items) - len(failures)} passed, {len(failures)} failed, {skipped} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/golden_grading.py FILE")
    sys.exit(main(sys.argv[1]))
