"""What a program costs in the sandbox, and beside evalplus' executor on the same small solutions.

Run ``python benchmarks/sandbox.py`` on a machine with nothing else to do. Both sides run one program at a time, in this
order: ours, theirs, ours, so that a machine that grows slower shows in our two numbers and not in the ratio.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from opdbench.graders.code import same_value
from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Sandbox

LIMITS = Limits(wall_seconds=5.0)
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


def evalplus(items: list[tuple[str, list[object]]]) -> tuple[list[float], int]:
    """Return the same of evalplus' executor, which compares inside the process that runs the program."""
    from evalplus.eval import untrusted_check  # pyright: ignore

    def passes(code: str, expected: list[object]) -> bool:
        found = untrusted_check(
            dataset="humaneval",
            code=code,
            inputs=CALLS,
            entry_point="f",
            expected=expected,
            atol=0,
            ref_time=[0.01] * len(CALLS),
            fast_check=True,
        )
        return found[0] == "pass"

    return timed(passes, items)


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


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=200, help="solutions, and repetitions of the start-up")
    number: int = parser.parse_args().num
    items = solutions(number)
    with Sandbox(num_servers=1) as sandbox:
        found: dict[str, object] = {"layers": sandbox.layers, "startup_median_ms": startup(sandbox, number)}
        first, num_passed = ours(sandbox, items)
        found["ours"] = {"seconds": sum(first), "passed": num_passed, "of": number}
        if importlib.util.find_spec("evalplus") is None:
            found["evalplus"] = "not installed: pip install 'opdbench[evalplus]' to compare"
        else:
            theirs, their_passed = evalplus(items)
            second, _ = ours(sandbox, items)
            found["evalplus"] = {"seconds": sum(theirs), "passed": their_passed, "of": number}
            found["ratio"] = sum(theirs) / ((sum(first) + sum(second)) / 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
