"""What hostile answers leave behind in the process that grades them: no process, no thread, no descriptor."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sandbox_host import descendants
from test_evalplus import THIRD
from test_hostile_answers import CHECKED, KINDS

from opdbench.graders import boxed
from opdbench.graders.boxed import BoxedExpression, BoxedInteger
from opdbench.graders.choice import Choice
from opdbench.graders.code import FunctionTests
from opdbench.graders.cpu_limit import MAX_STRETCH
from opdbench.graders.evalplus import EvalPlus
from opdbench.graders.instructions import Instructions
from opdbench.graders.program import ProgramTests
from opdbench.graders.workers import WorkerPool, shared_pool
from opdbench.records import Problem, Sample
from opdbench.sandbox.runner import ATTEMPTS_TIME, shared_sandbox
from opdbench_tasks.amo_bench import AMO_BENCH
from opdbench_tasks.gsm8k import GSM8K

pytestmark = pytest.mark.slow

NUM_SAMPLES = 200
NUM_WORKERS = 2
SECONDS = 1
"""Time limit of an answer and of a program: what hangs here would hang for longer, too."""
SLEEP = "import time; time.sleep(1000)"
HARMFUL = (
    "while True: pass",
    SLEEP,
    "import signal, time\nfor n in {1, 2, 3, 13, 14, 15}: signal.signal(n, signal.SIG_IGN)\ntime.sleep(1000)",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)\n    os._exit(0)",
    f"import subprocess, sys\nfor _ in range(5): subprocess.Popen([sys.executable, '-c', '{SLEEP}'])",
    "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=(1000,)).start()",
    "a = []\nwhile True: a.append(bytearray(1 << 20))",
    "import os\nwhile True: os.write(1, b'x' * 65536)",
    "import os\nos.closerange(0, 64)",
    "import os; os.kill(os.getpid(), 9)",
    "import os\nfiles = [os.open('/dev/null', 0) for _ in range(10**6)]",
    "import sys\nsys.setrecursionlimit(10**9)\ndef g(n): return g(n + 1)\ng(0)",
    "import socket\nlist(iter(lambda: socket.socket(), None))",
    "",
)


@dataclass(frozen=True)
class Case:
    """A grader with a problem, the texts of one pass, and how long the dearest of them may take by the limits."""

    grader: object
    target: object
    texts: list[str]
    seconds: float
    id: str = "p"

    def items(self) -> list[tuple[Problem, Sample]]:
        problem = Problem(self.id, "", self.target)
        return [(problem, Sample("t", self.id, n, 0, text, 1, "stop")) for n, text in enumerate(self.texts)]


def answers(turn: int) -> list[str]:
    """Return answers of which none is known from another turn, so that no cache spares a worker the work."""
    kinds = [f"{kind}+{turn}" if len(kind) < 900 else kind for kind in KINDS]
    return [rf"Answer: \boxed{{{kinds[n % len(kinds)]}}}" + "." * (n // len(kinds)) for n in range(NUM_SAMPLES)]


def programs(turn: int, indent: str) -> list[str]:
    """Return programs that are a function ``third`` or run by themselves."""
    codes = [f"{code}\nturn = {turn}".replace("\n", f"\n{indent}") for code in HARMFUL]
    start = "def third(x):\n    " if indent else ""
    return [f"```python\n{start}{code}\n```" for code in codes]


def case(name: str, turn: int) -> Case:
    answered, called, read = answers(turn), programs(turn, "    "), programs(turn, "")
    expression = SECONDS * 2 * MAX_STRETCH
    program = SECONDS * 2 * ATTEMPTS_TIME
    tests = {"entry_point": "third", "tests": [{"args": [[1]], "expected": 0.5}]}
    stdin = {"inputs": ["1\n"], "outputs": ["2\n"]}
    plus = EvalPlus(timeout_seconds=SECONDS, memory_mb=512)
    return {
        "expression": lambda: Case(BoxedExpression(), r"2\sqrt{51}", answered, expression),
        "stated number": lambda: Case(GSM8K.grader, r"2\sqrt{51}", answered, expression),
        "by values": lambda: Case(AMO_BENCH.grader, "n^2+n", answered, expression, id="5"),
        "integer": lambda: Case(BoxedInteger(), "204", answered, 1),
        "choice": lambda: Case(Choice("ABCDEFGHIJ"), "A", answered, 1),
        "instructions": lambda: Case(Instructions(), CHECKED, answered, 1),
        "function": lambda: Case(FunctionTests(SECONDS, 256), tests, called, program),
        "evalplus": lambda: Case(plus, THIRD, called, program),
        "program": lambda: Case(ProgramTests(SECONDS, 5.0, 256), stdin, read, program),
        "public": lambda: Case(ProgramTests(SECONDS, 5.0, 256, "public"), stdin, read, 7 * program),
    }[name]()


GRADERS = ("expression", "stated number", "by values", "integer", "choice", "instructions")
SANDBOXED = ("function", "evalplus", "program", "public")


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """Workers for this test alone; nothing of other tests is there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shared_pool().close()
    shared_sandbox().close()
    with WorkerPool(NUM_WORKERS, SECONDS) as workers:
        monkeypatch.setattr(boxed, "shared_pool", lambda: workers)
        yield workers
    shared_sandbox().close()


def processes() -> set[tuple[int, str]]:
    """Return the processes below this one, zombies included, each with the time of its start."""
    found = set()
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            found.add((pid, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]))
    return found


def is_there(process: tuple[int, str]) -> bool:
    try:
        return Path(f"/proc/{process[0]}/stat").read_text().rsplit(")", 1)[1].split()[19] == process[1]
    except OSError:
        return False


def held() -> tuple[int, int]:
    """Return the number of threads and of open files of this process."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


@dataclass
class Seen:
    """What a watcher saw: every process, and the most workers and servers at a time."""

    processes: set[tuple[int, str]] = field(default_factory=set)
    workers: int = 0
    servers: int = 0


@contextlib.contextmanager
def watched(pool: WorkerPool) -> Iterator[Seen]:
    """Look at the processes below this one until the block ends."""
    seen, end = Seen(), threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            seen.processes |= processes()
            seen.workers = max(seen.workers, len(pool.pids))
            seen.servers = max(seen.servers, len(shared_sandbox().pids))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        end.set()
        watcher.join()


@pytest.mark.parametrize("name", [*GRADERS, *SANDBOXED])
def test_hostile_answers_leave_nothing(name: str, pool: WorkerPool) -> None:
    before, left = processes(), []
    for turn in (1, 2):
        work = case(name, turn)
        started = time.monotonic()
        with watched(pool) as seen:
            verdicts = {graded.verdict for graded in work.grader.grade(work.items())}
        assert time.monotonic() - started < work.seconds * len(set(work.texts)), "it hangs"
        assert verdicts <= {"wrong", "correct" if name == "instructions" else "wrong"}
        assert seen.workers <= NUM_WORKERS
        assert seen.servers <= shared_sandbox().num_servers
        pool.close()
        shared_sandbox().close()
        assert processes() == before
        assert not [found for found in seen.processes - before if is_there(found)]
        left.append(held())
    assert left[0] == left[1]


@pytest.mark.parametrize("name", ["expression", "stated number", "by values"])
def test_workers_that_answer_stay_the_same(name: str, pool: WorkerPool) -> None:
    grader, id = case(name, 0).grader, case(name, 0).id
    pids: list[set[int]] = []
    for turn in range(4):
        problems = [(Problem(id, "", "n^2+n"), rf"\boxed{{n^2+{turn * 40 + n}n}}") for n in range(2, 40)]
        graded = grader.grade([(problem, Sample("t", id, 0, 0, text, 1, "stop")) for problem, text in problems])
        assert {found.verdict for found in graded} == {"wrong"}
        pids.append(set(pool.pids))
    assert pids[0] == pids[1] == pids[2] == pids[3]


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("name", SANDBOXED)
def test_servers_that_answer_stay_the_same(name: str) -> None:
    work = case(name, 0)
    pids: list[set[int]] = []
    for turn in range(4):
        codes = [f"def third(x): return {turn * 40 + n}\nprint({turn * 40 + n})" for n in range(3, 40)]
        problem = Problem("p", "", work.target)
        samples = [Sample("t", "p", 0, 0, f"```python\n{code}\n```", 1, "stop") for code in codes]
        graded = work.grader.grade([(problem, sample) for sample in samples])
        assert {found.verdict for found in graded} == {"wrong"}
        pids.append(set(shared_sandbox().pids))
    assert pids[0] == pids[1] == pids[2] == pids[3]
