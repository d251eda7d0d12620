"""Runs programs of models in the sandbox and returns plain answers: the one place that graders of code meet it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opdbench.graders import inside
from opdbench.graders.judgement import INVALID_PROBLEM, Judgement, missing
from opdbench.records import Problem, Sample
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import shared_sandbox


@dataclass(frozen=True, slots=True)
class Answer:
    """What one test gave: ``done`` with a value, or the reason why there is none.

    ``seconds`` is what counted against the time limit of the process that gave it, all its tests together.
    """

    status: str
    value: Any = None
    seconds: float = field(default=0.0, compare=False)


CodeOf = Callable[[Problem, Sample], str | None]
"""Returns the program that a completion answers with, None where it has none."""
Judge = Callable[[Problem, Sequence[str]], list[Judgement] | None]
"""Judges programs of one problem; None where the problem cannot be tested."""


def by_problem(items: Sequence[tuple[Problem, Sample]], code_of: CodeOf, judge: Judge) -> list[Judgement]:
    """Return the judgement of each sample, in order: several problems at a time, equal programs of one only once.

    Raises:
        GradingError: the sandbox does not start.
    """
    codes = [code_of(*item) for item in items]
    problems = {problem.id: problem for problem, _ in items}
    programs: dict[str, list[str]] = {id: [] for id in problems}
    for (problem, _), code in zip(items, codes, strict=True):
        if code and code not in programs[problem.id]:
            programs[problem.id].append(code)
    with ThreadPoolExecutor(shared_sandbox().num_servers) as threads:
        found = dict(zip(problems, threads.map(judge, problems.values(), programs.values()), strict=True))
    judged: list[Judgement] = []
    for (problem, sample), code in zip(items, codes, strict=True):
        known = found[problem.id]
        if known is None:
            judged.append(INVALID_PROBLEM)
        else:
            judged.append(known[programs[problem.id].index(code)] if code else missing(sample, "no_code"))
    return judged


def program(maker: str, *arguments: Any) -> str:
    """Return a program whose function ``answer`` is what a function of ``inside`` makes of the arguments."""
    return f"{_inside()}\nanswer = {maker}({', '.join(map(repr, arguments))})\n"


@functools.cache
def _inside() -> str:
    return Path(inside.__file__).read_text(encoding="utf-8")


def run_calls(source: str, calls: Sequence[Sequence[Any]], limits: Limits) -> list[Answer]:
    """Call the function ``answer`` of a program once per element of ``calls``, in one process.

    A program that ends early has the same answer, without a value, to every call.

    Raises:
        TypeError: an argument is not of a built-in type.
        GradingError: the sandbox does not start.
    """
    outcome = shared_sandbox().run_function(source, "answer", calls, limits)
    if outcome.status != "done":
        return [Answer(outcome.status, seconds=outcome.seconds)] * len(calls)
    return [Answer(result.status, result.value, outcome.seconds) for result in outcome.results]


def run_program(source: str, stdin: str, limits: Limits) -> Answer:
    """Run a program with a text on its stdin and return what it printed; another exit code than 0 is ``exit``.

    Raises:
        GradingError: the sandbox does not start.
    """
    storable = stdin.encode("utf-8", "replace").decode()  # JSON can hold halves of characters, a stdin cannot
    outcome = shared_sandbox().run_program(source, storable, limits)
    if outcome.status == "done" and outcome.exit_code == 0:
        return Answer("done", outcome.stdout.decode("utf-8", "replace"), outcome.seconds)
    return Answer("exit" if outcome.status == "done" else outcome.status, seconds=outcome.seconds)


def opened(answer: Answer) -> Answer:
    """Return the answer inside one of ``inside``'s pairs of status and value; anything else is no valid output."""
    if answer.status != "done":
        return answer
    if not isinstance(answer.value, tuple) or len(answer.value) != 2 or not isinstance(answer.value[0], str):
        return Answer("invalid_output")
    status, value = answer.value
    if status not in ("value", "limit", "crash", "skipped"):
        return Answer("invalid_output")
    return Answer("done", value) if status == "value" else Answer(status)
