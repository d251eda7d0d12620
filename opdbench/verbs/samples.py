"""``eval``, ``grade``, ``show``: one model on some tasks, and what is stored of samples and grades."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opdbench import registry
from opdbench.checkpoints import locate
from opdbench.errors import DataError
from opdbench.model import ModelEntry
from opdbench.records import Grade, Problem, Sample
from opdbench.verbs.boards import RUNS, ignore, never
from opdbench.verbs.protocols import ask

if TYPE_CHECKING:
    from opdbench.runner import Event, ModelReport, Regraded

MAX_SHOWN_TARGET = 20_000
"""Characters up to which a target is shown."""
WITHHELD = "[withheld: the terms of this data forbid to publish its text]"


def evaluate(
    model: str,
    tasks: Sequence[str],
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    protocol: str | None = None,
    seed: int = 0,
    out: Path | None = None,
    on_event: Callable[[Event], None] = ignore,
    stop: Callable[[], bool] = never,
    **settings: Any,
) -> ModelReport:
    """Evaluate a checkpoint; a second call with the same arguments goes on where the first was stopped.

    Args:
        model: A directory, ``package:PKG/DIR``, or a hub id.
        tasks: Ids of tasks.
        revision: Commit of a hub id.
        allow_pickle: Accept weights that are not safetensors; loading them can execute code.
        protocol: Id of the protocol whose settings hold where none is given.
        seed: What sample seeds derive from.
        out: Where samples and grades go; by default below ``runs/eval``.
        on_event: Told of progress.
        stop: Polled between batches.
        **settings: Fields of ``EvaluationSettings``, ``thinking`` and ``system_prompt``; None means the protocol's, or
            the default.

    Raises:
        OPDBenchError: a task is not installed, a setting is impossible, or there is no such checkpoint.
    """
    asked = ask(tasks, settings, protocol)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", model.removeprefix("package:").strip("/").rpartition("/")[2]) or "model"
    entry = ModelEntry(path=model, revision=revision, allow_pickle=allow_pickle, evaluation=asked.presentation)
    # Looked for before torch is loaded, so that a wrong path is told at once.
    locate(name, entry, Path())
    from opdbench.runner import ModelQuestion, evaluate_model

    question = ModelQuestion(asked.settings, asked.num_samples, asked.messages, asked.protocol)
    target = out or RUNS / "eval" / name
    return evaluate_model(entry, name, question, out=target, seed=seed, on_event=on_event, stop=stop)


def grade(directory: Path, *, tasks: Sequence[str] = (), on_event: Callable[[Event], None] = ignore) -> Regraded:
    """Grade stored samples again, by the graders that are installed now; no model is needed.

    Raises:
        DataError: the directory holds no samples.
        PluginError: a task is not installed.
    """
    _check_directory(directory)
    for id in tasks:
        registry.find("tasks", id)
    from opdbench.runner import regrade

    return regrade(directory, tasks=tasks, on_event=on_event)


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample with its problem and its grade, None where it has none; ``is_private`` is its task's word on text."""

    problem: Problem
    sample: Sample
    grade: Grade | None
    is_private: bool = False

    @property
    def target(self) -> Any:
        """The problem's target, or its size where that is large: tests of programs take up to hundreds of megabytes."""
        target = self.problem.target
        size = len(target if isinstance(target, str) else json.dumps(target, default=repr))
        return target if size <= MAX_SHOWN_TARGET else f"({size} characters, not shown)"

    def to_json(self) -> dict[str, Any]:
        """Return one flat record, which may be passed on: text that must not be published is withheld."""
        sample, grade, problem = self.sample, self.grade, self.problem
        return {
            "task": sample.task,
            "problem": sample.problem_id,
            "index": sample.index,
            "verdict": grade.verdict if grade else None,
            "reason": grade.reason if grade else None,
            "answer": None if self.is_private or not grade else grade.answer,
            "target": None if self.is_private else self.target,
            "grader": grade.grader if grade else None,
            "num_tokens": sample.num_tokens,
            "finish_reason": sample.finish_reason,
            "seed": sample.seed,
            "prompt": WITHHELD if self.is_private else problem.prompt,
            "text": WITHHELD if self.is_private else sample.text,
        }


def show(
    directory: Path, *, problem: str | None = None, task: str | None = None, wrong: bool = False
) -> Iterator[Shown]:
    """Yield stored samples with their grades.

    Args:
        directory: Of a cell in a run directory, or of an evaluation.
        problem: Only this problem.
        task: Only this task.
        wrong: Only samples that are not correct.

    Raises:
        DataError: the directory holds no samples.
    """
    _check_directory(directory)
    from opdbench.runner import open_cell

    for asked, sample, grade in open_cell(directory, [task] if task else []):
        if problem not in (None, sample.problem_id):
            continue
        if not wrong or grade is None or grade.verdict != "correct":
            yield Shown(asked, sample, grade, registry.load("tasks", sample.task).is_private_text)


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise DataError(f"{directory} is no directory; name that of a cell (runs/BOARD/KEY) or of an evaluation")
