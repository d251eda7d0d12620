"""Real problems of code, which are never committed, and what evalplus' own executor says of a program for them."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from opdbench.graders.evalplus_inputs import COMPLEX, typed_arguments
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import shared_sandbox
from opdbench_tasks import evalplus as tasks

FIND_ZERO_TOLERANCE = 1e-4
"""What the published test of HumanEval/32 allows, and evalplus' data too."""
_RECORDER = """
def recorded():
    import copy
    calls = []
    def candidate(*arguments):
        calls.append(copy.deepcopy(list(arguments)))
        return {name}(*arguments)
    check(candidate)
    return calls
"""


def local_file(name: str) -> Path | None:
    """Return a file of ``OPDBENCH_DATA``, None where there is none."""
    folder = os.environ.get("OPDBENCH_DATA", "")
    path = Path(folder) / name
    return path if folder and path.is_file() else None


def mbpp(path: Path) -> list[dict]:
    """Return the rows of MBPP+ as evalplus publishes it, in the plain form of its task."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tasks.MBPP_PLUS.source.plain(json.loads(line)) for line in lines]


def humaneval(path: Path) -> list[dict]:
    """Return the rows of HumanEval as OpenAI publishes it, in the plain form of its task."""
    return [tasks.HUMANEVAL.source.plain(row) for row in humaneval_rows(path)]


def humaneval_rows(path: Path) -> list[dict]:
    """Return OpenAI's rows in evalplus' schema: the base inputs are what the published test calls a solution with."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        {
            **row,
            "base_input": published_inputs(row),
            "plus_input": [],
            "atol": FIND_ZERO_TOLERANCE if row["entry_point"] == "find_zero" else 0,
        }
        for row in rows
    ]


def published_inputs(row: dict) -> list[list]:
    """Return the arguments with which the published test calls the canonical solution; some of them are drawn."""
    code = row["prompt"] + row["canonical_solution"] + "\n" + row["test"] + _RECORDER.format(name=row["entry_point"])
    outcome = shared_sandbox().run_function(code, "recorded", [[]], Limits(seconds=20.0))
    assert outcome.status == "done", row["task_id"]
    assert outcome.results[0].status == "done", row["task_id"]
    return outcome.results[0].value


def verdict_of_evalplus(target: dict, code: str) -> bool:
    """Say whether evalplus' executor accepts a program, under evalplus' own limits; needs evalplus."""
    from evalplus.eval import untrusted_check

    for calls, expected, seconds in _references(json.dumps(target)):
        status, _ = untrusted_check(
            target["dataset"], code, calls, target["entry_point"], expected, target["atol"], seconds, fast_check=True
        )
        if status != "pass":
            return False
    return True


def reference_seconds(target: dict) -> float:
    """Return what the canonical solution takes for all tests, as evalplus measures it; needs evalplus."""
    return sum(sum(seconds) for _, _, seconds in _references(json.dumps(target)))


@lru_cache(maxsize=1)
def _references(target: str) -> list[tuple[list, list, list[float]]]:
    """Return of the base and the added tests: calls, expected values and seconds, as evalplus computes them."""
    return list(_runs(json.loads(target)))


def _runs(target: dict) -> Iterator[tuple[list, list, list[float]]]:
    from evalplus.eval import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    run: Callable[..., tuple[list, list[float]]] = trusted_exec
    source, name = target["prompt"] + target["canonical_solution"], target["entry_point"]
    for kind in ("base_input", "plus_input"):
        calls = [evalplus_arguments(target, given) for given in target[kind]]
        whether = target["dataset"] == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
        yield calls, *run(source, calls, name, record_time=True, output_not_none=whether)


def evalplus_arguments(target: dict, given: list) -> list:
    """Return the arguments of one call as evalplus makes them: with complex numbers, which ours become inside."""
    typed = typed_arguments(target["dataset"], target["number"], given)
    has_complex = target["dataset"] == "mbpp" and target["number"] in COMPLEX
    return [complex(one) if has_complex and isinstance(one, str) else one for one in typed]
