"""Processes of the sandbox that somebody kills: no verdict is lost, and none is another one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_host import descendants, is_alive, of_programs

from opdbench.sandbox.protocol import Limits
from opdbench.sandbox.runner import Outcome, Sandbox

GRADED = Path(__file__).parent / "graded_samples.py"
PAUSE_STARTS = 2.5
"""Mean time between two kills, by that of a server's start here and now: if it were shorter, nothing would ever run."""
ROOMY = Limits(seconds=10.0)
RUNS: dict[str, Callable[[Sandbox], Outcome]] = {
    "function": lambda box: box.run_function("import time\ndef f(): return time.sleep(1.5)", "f", [[]], ROOMY),
    "program": lambda box: box.run_program("import time\ntime.sleep(1.5)\nprint(1)", "", ROOMY),
}


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["keeper", "program"])
@pytest.mark.parametrize("kind", RUNS)
def test_a_program_that_somebody_kills_runs_again(kind: str, victim: str) -> None:
    with Sandbox(num_servers=1) as sandbox, ThreadPoolExecutor(1) as threads:
        if "namespaces" not in sandbox.layers:
            pytest.skip("there is a keeper in a namespace only")
        work = threads.submit(RUNS[kind], sandbox)
        while not (programs := of_programs(sandbox.pids[0])):
            assert not work.done(), "it ended before its processes were seen"
        keepers = [pid for pid in descendants(sandbox.pids[0]) if pid not in programs]
        os.kill((keepers if victim == "keeper" else programs)[0], signal.SIGKILL)
        outcome = work.result()
    assert outcome.status == "done"
    assert [result.value for result in outcome.results] == [None] * (kind == "function")
    assert outcome.stdout == b"1\n" * (kind == "program")


def test_a_program_that_kills_itself_every_time_is_to_blame() -> None:
    with Sandbox(num_servers=1) as sandbox:
        outcome = sandbox.run_program("import os\nprint(1, flush=True)\nos.kill(os.getpid(), 9)", "", ROOMY)
    assert (outcome.status, outcome.exit_code, outcome.stdout) == ("crash", -signal.SIGKILL, b"1\n")


def start(output: Path) -> subprocess.Popen[bytes]:
    """Grade in another process, which writes into a file: nobody reads while it is killed at."""
    with output.open("wb") as file:
        return subprocess.Popen([sys.executable, GRADED], stdout=file)


def start_seconds() -> float:
    started = time.monotonic()
    with Sandbox(num_servers=1) as sandbox:
        assert sandbox.layers
    return time.monotonic() - started


def kill_at_random(process: subprocess.Popen[bytes], mean_pause: float, seed: int) -> tuple[int, set[int]]:
    """Kill processes below one until it ends; return how many, and all that were ever seen."""
    rng, killed, seen = random.Random(seed), 0, set[int]()
    while process.poll() is None:
        time.sleep(rng.uniform(0.5, 1.5) * mean_pause)
        family = descendants(process.pid)
        seen.update(family)
        living = [pid for pid in family if is_alive(pid)]
        if living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(living), signal.SIGKILL)
                killed += 1
    return killed, seen


@pytest.mark.slow
def test_verdicts_are_the_same_when_processes_of_the_sandbox_are_killed(tmp_path: Path) -> None:
    with start(tmp_path / "wanted") as process:
        assert process.wait() == 0
    wanted = json.loads((tmp_path / "wanted").read_bytes())
    assert len(wanted) == 1000
    reasons = Counter(reason for _, _, reason, _ in wanted)
    assert reasons["tests"] > 400
    assert {"crash", "exit", "invalid_output", "limit", "no_code"} <= reasons.keys()
    with start(tmp_path / "found") as process:
        killed, seen = kill_at_random(process, PAUSE_STARTS * start_seconds(), seed=0)
    print(f"{killed} processes killed, {len(seen)} seen")
    assert process.returncode == 0
    found = json.loads((tmp_path / "found").read_bytes())
    assert killed >= 10
    assert [pair for pair in zip(wanted, found, strict=True) if pair[0] != pair[1]] == []
    assert not [pid for pid in seen if is_alive(pid)]
