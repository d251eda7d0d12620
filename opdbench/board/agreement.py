"""Whether results that were computed again agree with the committed ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from opdbench.board import compare, escape, figures
from opdbench.board.compare import Counts, Difference
from opdbench.records import CheckpointResult, Result

Verdict = Literal["identical", "within noise", "differs", "not compared"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One row on one task: fresh minus committed, on the same problems and the seeds that both have."""

    row: str
    task: str
    verdict: Verdict
    difference: Difference | None
    reason: str = ""

    def line(self) -> str:
        """Return one line for a terminal."""
        words = [f"{escape.plain(self.row):<20} {escape.plain(self.task):<20} {self.verdict:<12}"]
        if self.difference is not None and self.verdict != "identical":
            error = figures.error(self.difference.se)
            words.append(f"{figures.points(self.difference.value)} ± {error} points")
        return " ".join([*words, self.reason]).rstrip()


def compare_results(committed: Iterable[Result], fresh: Iterable[Result]) -> list[Agreement]:
    """Compare results by row and task, in order of their names.

    ``identical``: the same correct counts on every problem and seed. ``differs``: the paired test (over seeds and
    problems) is significant after Holm's correction over everything compared. ``not compared``: no seed in common, or
    another set of problems or samples.
    """
    ours, theirs = _by_place(committed), _by_place(fresh)
    pairs = {(row, task): _pair(ours, theirs, row, task) for row, task in _questions(ours, theirs)}
    found = {key: compare.difference(two[1], two[0]) for key, two in pairs.items() if two is not None}
    corrected = compare.adjusted({f"{row}\n{task}": item for (row, task), item in found.items()})
    return [_agreement(key, pairs[key], corrected.get("\n".join(key), found.get(key))) for key in sorted(pairs)]


def _agreement(
    key: tuple[str, str], pair: tuple[compare.Scores, compare.Scores] | None, difference: Difference | None
) -> Agreement:
    if pair is None or difference is None:
        return Agreement(*key, "not compared", None, "no seed, problems and samples in common")
    if np.array_equal(*pair):
        return Agreement(*key, "identical", difference)
    differs = difference.is_significant or difference.se is None
    return Agreement(*key, "differs" if differs else "within noise", difference)


_Places = dict[tuple[str, int], Result]


def _by_place(results: Iterable[Result]) -> _Places:
    return {(run.row, run.seed): run for run in results if run.checkpoints}


def _questions(ours: _Places, theirs: _Places) -> list[tuple[str, str]]:
    """Name every row and task that either side has."""
    runs = [*ours.values(), *theirs.values()]
    return sorted({(run.row, task) for run in runs for task in run.checkpoints[-1].correct})


def _pair(ours: _Places, theirs: _Places, row: str, task: str) -> tuple[compare.Scores, compare.Scores] | None:
    seeds = sorted(seed for name, seed in ours if name == row and (row, seed) in theirs)
    last = [(ours[row, seed].checkpoints[-1], theirs[row, seed].checkpoints[-1]) for seed in seeds]
    problems = sorted(last[0][0].correct.get(task, {})) if last else []
    shapes = {(tuple(sorted(item.correct.get(task, {}))), item.samples.get(task, 0)) for two in last for item in two}
    if not problems or len(shapes) != 1:
        return None
    k = last[0][0].samples[task]
    return _table([two[0] for two in last], task, problems) / k, _table([two[1] for two in last], task, problems) / k


def _table(checkpoints: Sequence[CheckpointResult], task: str, problems: Sequence[str]) -> Counts:
    return np.array([[item.correct[task][problem] for problem in problems] for item in checkpoints], dtype=np.int64)
