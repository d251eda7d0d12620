"""``export`` and ``grade --against``: our tasks in another program, and its grader beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opdbench import registry
from opdbench.errors import DataError
from opdbench.interop.lighteval import Agreement, compare, kind_of
from opdbench.interop.lighteval_export import Exported, export_tasks
from opdbench.records import Grade, Problem, Sample

if TYPE_CHECKING:
    from opdbench.records import Pool

MAX_TOKENS = 32768
"""Longest completion of an exported task, unless told otherwise."""


def export(
    tasks: Sequence[str], directory: Path, *, pool: Pool = "test", k: int | None = None, max_tokens: int = MAX_TOKENS
) -> Exported:
    """Write tasks as a custom-task module of lighteval; see ``export_tasks``.

    Raises:
        OPDBenchError: a task is not installed, its data are not here, or the directory cannot be written.
    """
    for id in tasks:
        registry.find("tasks", id)
    return export_tasks(tasks, directory, pool=pool, k=k, max_tokens=max_tokens)


def against_lighteval(directory: Path, tasks: Sequence[str] = ()) -> list[Agreement]:
    """Grade the stored samples of a cell or an evaluation by lighteval too, and say where the two differ.

    Tasks that lighteval has no metric for are left out, unless they are named.

    Raises:
        DataError: the directory holds no graded samples of such a task.
        GradingError: lighteval is not installed, or has no metric for a task that is named.
    """
    from opdbench.runner import open_cell

    found: dict[str, list[tuple[Problem, Sample, Grade]]] = {}
    for problem, sample, grade in open_cell(directory, tasks):
        if grade is not None:
            found.setdefault(sample.task, []).append((problem, sample, grade))
    loaded = {id: registry.load("tasks", id) for id in found}
    wanted = [id for id, task in loaded.items() if id in tasks or kind_of(task) is not None]
    if not wanted:
        raise DataError(f"{directory} holds no graded samples of a task that lighteval has a metric for")
    return [compare(loaded[id], found[id]) for id in wanted]
