"""What a program costs in the sandbox, and beside evalplus' executor on the same small solutions.

Run ``python benchmarks/sandbox.py`` on a machine with nothing else to do, where ``evalplus.eval`` of evalplus 0.3.1 can
be imported. Both sides run one program at a time, in this order: ours, theirs, ours, so that a machine that grows
slower shows in our two numbers and not in the ratio.

evalplus runs a solution twice, with the base tests and with the added ones (``check_correctness``): ``ratio`` compares
solutions, half of the calls being the added ones. ``ratio_of_processes`` compares one process of each, with all calls.
evalplus forks the process that holds problems and expected values (793 MB of them for MBPP+), and pays for that with
each fork; ``--held-mb`` gives the measuring process as much to hold, for both sides.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from opdbench.graders.code import same_value
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Sandbox

LIMITS = Limits(seconds=5.0)
CALLS = [[n] for n in range(20)]
TEMPLATES = (
    "def f(n):\n    return sum(i * {k} for i in range(n))\n",
    "def f(n):\n    return sorted(range(n), key=lambda i: -i * {k})\n",
    "def f(n):\n    return ''.join(chr(97 + i % {k}) for i in range(n))\n",
    "from math import gcd\ndef f(n):\n    return [gcd(n, i) for i in range(1, {k})]\n",
)


def solutions(number: int) -> list[tuple[str, list[object]]]:
    """Return small right solutions with their expected values."""
    codes = [TEMPLATES[index % len(TEMPLATES)].format(k=2 + index % 7) for index in range(number)]
    return [(code, _values(code)) for code in codes]


def _values(code: str) -> list[object]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return [namespace["f"](*call) for call in CALLS]


def ours(sandbox: Sandbox, items: list[tuple[str, list[object]]]) -> tuple[list[float], int]:
    """Return seconds of each solution and how many passed."""

    def passes(code: str, expected: list[object]) -> bool:
        outcome = sandbox.run_function(code, "f", CALLS, LIMITS)
        return outcome.status == "done" and all(
            same_value(wanted, result.value) for wanted, result in zip(expected, outcome.results, strict=True)
        )

    return timed(passes, items)


def evalplus(items: list[tuple[str, list[object]]], parts: Sequence[slice]) -> tuple[list[float], int]:
    """Return the same of evalplus' executor, which compares inside the process that runs the program.

    Each of ``parts`` of the calls has a process of its own.
    """
    from evalplus.eval import untrusted_check  # pyright: ignore

    def passes_part(code: str, expected: list[object], part: slice) -> bool:
        calls = CALLS[part]
        found = untrusted_check(
            dataset="humaneval",
            code=code,
            inputs=calls,
            entry_point="f",
            expected=expected[part],
            atol=0,
            ref_time=[0.01] * len(calls),
            fast_check=True,
        )
        return found[0] == "pass"

    return timed(lambda code, expected: all(passes_part(code, expected, part) for part in parts), items)


def timed(
    passes: Callable[[str, list[object]], bool], items: list[tuple[str, list[object]]]
) -> tuple[list[float], int]:
    """Return seconds of each call and how many solutions passed."""
    seconds: list[float] = []
    num_passed = 0
    for code, expected in items:
        started = time.perf_counter()
        num_passed += passes(code, expected)
        seconds.append(time.perf_counter() - started)
    return seconds, num_passed


def startup(sandbox: Sandbox, number: int) -> dict[str, float]:
    """Return the median milliseconds of a function and of a program that do nothing."""
    kinds: dict[str, Callable[[], object]] = {
        "function": lambda: sandbox.run_function("def f(n): return n", "f", [[1]], LIMITS),
        "program": lambda: sandbox.run_program("print(1)", "", LIMITS),
    }
    return {name: _median_ms(run, number) for name, run in kinds.items()}


def _median_ms(run: Callable[[], object], number: int) -> float:
    seconds: list[float] = []
    for _ in range(number):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def compared(sandbox: Sandbox, items: list[tuple[str, list[object]]]) -> dict[str, object]:
    """Return seconds of both sides, and by how much evalplus' executor takes longer."""
    half, all_calls = len(CALLS) // 2, [slice(None)]
    first, num_passed = ours(sandbox, items)
    found: dict[str, object] = {"ours": {"seconds": sum(first), "passed": num_passed}}
    if importlib.util.find_spec("evalplus") is None:
        return found | {"evalplus": "not installed: pip install 'opdbench[evalplus]' to compare"}
    solutions, num_solutions = evalplus(items, [slice(half), slice(half, None)])
    processes, num_processes = evalplus(items, all_calls)
    second, _ = ours(sandbox, items)
    mean = (sum(first) + sum(second)) / 2
    return found | {
        "ours_again": {"seconds": sum(second)},
        "evalplus": {"seconds": sum(solutions), "passed": num_solutions},
        "evalplus_one_process": {"seconds": sum(processes), "passed": num_processes},
        "ratio": sum(solutions) / mean,
        "ratio_of_processes": sum(processes) / mean,
    }


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=200, help="solutions, and repetitions of the start-up")
    parser.add_argument("--held-mb", type=int, default=0, help="megabytes of objects that the measuring process holds")
    options = parser.parse_args()
    held = [str(index) * 10 for index in range(options.held_mb * 9000)]
    items = solutions(options.num)
    with Sandbox(num_servers=1) as sandbox:
        found: dict[str, object] = {"layers": sandbox.layers, "startup_median_ms": startup(sandbox, options.num)}
        found |= {"of": options.num, "held_objects": len(held)} | compared(sandbox, items)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
