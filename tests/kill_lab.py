"""Kill a run of the lab board at random moments, finish it, and compare with the committed results.

``python tests/kill_lab.py [--kills 20] [--seed 0]``. Runs one seed of the board through the real command line. The
committed results came from an uninterrupted run; on the same type of processor every figure but those of the clock
must be equal.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from small_board import call, start, without_time

BOARD = Path(__file__).parents[1] / "leaderboards" / "lab"


def run_and_kill(runs: Path, seed: int, kills: int) -> int:
    """Run the board, killed up to ``kills`` times, then to its end; return how often it was killed."""
    rng, done = random.Random(seed), 0
    while done < kills:
        process = start("run", BOARD, "--runs", runs, "--seed", seed, "--jobs", 2, "--quiet", start_new_session=True)
        deadline = time.monotonic() + rng.uniform(1.0, 25.0)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        done += 1
    call("run", BOARD, "--runs", runs, "--seed", seed, "--jobs", 2, "--quiet")
    return done


def main() -> int:
    """Compare every result of the seed with its committed file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = run_and_kill(Path(folder), options.seed, options.kills)
        found = [json.loads(path.read_text())["data"] for path in Path(folder).glob("*/*/result.json")]
    differing = []
    for result in found:
        committed = json.loads((BOARD / "results" / f"{result['row']}-seed{options.seed}.json").read_text())
        if without_time(committed) != without_time(result):
            differing.append(result["row"])
    print(f"{kills} kills, {len(found)} results, {len(differing)} differ {' '.join(sorted(differing))}")
    return 1 if differing or not found else 0


if __name__ == "__main__":
    sys.exit(main())
